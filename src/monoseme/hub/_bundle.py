"""The folder that is sent: SAEs with what belongs to them, laid out as a run, so that it opens as one when it is pulled.

    README.md, monoseme.json                    the card, and the index of all files
    run.json                                    settings of the run, scrubbed
    saes/NAME/                                  the SAEs (one that belongs to no run lies at the top)
    evaluations/NAME/EVALUATION/                what was measured
    training/metrics.jsonl                      the curves
    annotations/KEY/LABEL/                      explanations and scores, exactly as the atlas has them
    explanations/KEY/LABEL/explanations.json    explanations as `monoseme import --atlas` takes them
    formats/NAME/                               the SAEs as another tool keeps them, where that was asked for
    figures/*.png

An atlas is a repository of its own, a dataset: text/, latents/KEY/, relations/KEY/, effects/KEY/, annotations/KEY/LABEL/.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monoseme.atlas import Annotation
from monoseme.atlas.annotations import read_explanations
from monoseme.core.artifact import MANIFEST
from monoseme.core.errors import ConfigError
from monoseme.core.files import write_atomic, write_json
from monoseme.hub._card import CardSae
from monoseme.hub._index import Index, is_sent_kind
from monoseme.hub._scrub import Scrubber
from monoseme.hub._sendable import Sendable, link_or_copy
from monoseme.hub._source import Source
from monoseme.interchange import ExportSource, export_sae
from monoseme.pipeline import RUN_FILE, has_given_saes, open_sae
from monoseme.training import read_metrics

_TIMES = ("seconds_model", "seconds_stream", "seconds_sae", "tokens_per_second", "rss_mb", "gpu_mb")
"""Columns of the curves that tell of the machine, not of the SAE."""


def sendable_of(source: Source, scrubber: Scrubber) -> Sendable:
    """Everything of the source that is an artifact: hashes follow each other from an SAE to what is said of its latents."""
    found = [*source.saes.values(), *(path for name in source.saes for path in source.evaluations(name).values())]
    if source.atlas is not None:
        found += atlas_parts(source.atlas.path)
    return Sendable(found, scrubber)


def atlas_parts(atlas: Path) -> list[Path]:
    """The artifacts that an atlas is made of, drafts left out."""
    found = sorted(manifest.parent for manifest in atlas.rglob(MANIFEST))
    return [part for part in found if not any(name.startswith(".") for name in part.relative_to(atlas).parts)]


def fill_with_saes(draft: Path, source: Source, sendable: Sendable) -> Index:
    """SAEs, what was measured, and the record of the run."""
    places = {name: f"saes/{name}" if source.run is not None else "." for name in source.saes}
    for name, path in source.saes.items():
        sendable.write(path, draft / places[name])
        for evaluation, report in source.evaluations(name).items():
            sendable.write(report, draft / "evaluations" / name / evaluation)
    hashes = {name: sendable.hash_of(path) for name, path in source.saes.items()}
    return Index("sae" if source.run is None else "run", places, hashes, (), None, None, {})


def fill_with_record(draft: Path, source: Source, scrubber: Scrubber) -> None:
    """`run.json` and the curves, of the SAEs that are sent."""
    if source.run is None:
        return
    write_json(draft / RUN_FILE, scrubbed_record(source, scrubber))
    if has_given_saes(source.record):
        return
    rows = read_metrics(source.run.training / "metrics.jsonl") if (source.run.training / "metrics.jsonl").is_file() else []
    kept = [{key: value for key, value in row.items() if key not in _TIMES} for row in rows if _is_of(row, source)]
    write_atomic(draft / "training" / "metrics.jsonl", "".join(json.dumps(scrubber.clean(row)) + "\n" for row in kept))


def scrubbed_record(source: Source, scrubber: Scrubber) -> dict[str, Any]:
    """The run's record as others may read it: no stores, no judge, no trackers, nothing of how fast it was where."""
    said = source.record
    config = scrubber.clean(said["config"])
    config["start_from"] = []
    config.get("stream", {}).update(activations=[])
    config.get("train", {}).update(trackers=[])
    config.get("atlas", {}).pop("explain", None)  # the judge that was asked is the business of who asked it
    return {
        "kind": said["kind"],
        "schema": said["schema"],
        "package_version": said.get("package_version"),
        "config": config,
        "jobs": {name: job for name, job in said["jobs"].items() if name in source.saes},
        "artifacts": {
            **({} if has_given_saes(said) else {"training": "training"}),
            "saes": {name: f"saes/{name}" for name in source.saes},
            "evaluations": {
                name: {one: f"evaluations/{name}/{one}" for one in found}
                for name in source.saes
                if (found := source.evaluations(name))
            },
        },
    }


def fill_with_annotations(draft: Path, held: Mapping[str, list[Annotation]], sendable: Sendable) -> tuple[str, ...]:
    """What is said of latents; the labels of the explanations."""
    for key, annotations in held.items():
        for annotation in annotations:
            sendable.write(annotation.artifact.path, draft / "annotations" / key / annotation.label)
            said = {} if annotation.holds != "explanations" else _texts(annotation)
            if said:
                target = draft / "explanations" / key / annotation.label / "explanations.json"
                write_atomic(target, json.dumps(said, ensure_ascii=False, indent=1) + "\n")
    return tuple(sorted({one.label for found in held.values() for one in found if one.holds == "explanations"}))


def fill_with_format(draft: Path, source: Source, name: str, scrubber: Scrubber, *, instead: bool) -> dict[str, str]:
    """The SAEs as another tool keeps them: SAE -> folder.

    Raises ConfigError for a format whose files are not sent, or that cannot hold an SAE.
    """
    places: dict[str, str] = {}
    for sae, path in source.saes.items():
        folder = (f"saes/{sae}" if len(source.saes) > 1 else ".") if instead else f"formats/{name}/{sae}"
        named = open_sae(str(path))
        facts = scrubber.clean(dict(named.sae.provenance))
        model = source.model
        origin = ExportSource(name=sae, sites=named.sites, model=None if model is None else scrubber.model(model), facts=facts)
        with tempfile.TemporaryDirectory(dir=draft.parent) as temporary:
            out = Path(temporary) / sae
            export_sae(named.sae, out, format=name, source=origin)
            for file in sorted(p for p in out.rglob("*") if p.is_file()):
                if not is_sent_kind(file.name):
                    raise ConfigError(
                        f"{name} keeps SAEs in {file.name}, which is no safetensors file: such files can run programs.\n"
                        "  Push without --format, or choose another format."
                    )
                target = draft / folder / file.relative_to(out)
                target.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(file, target)
        places[sae] = folder
    return places


def card_saes(source: Source, sendable: Sendable, places: Mapping[str, str]) -> tuple[CardSae, ...]:
    """The SAEs as the card tells of them; `places` are their folders."""
    found: list[CardSae] = []
    for name, path in source.saes.items():
        manifest = sendable.manifest_of(path)
        n_bytes = sum(int(facts["bytes"]) for facts in manifest["files"].values())
        place = "" if places[name] == "." else places[name]
        found.append(CardSae(name, place, manifest["config"], sendable.hash_of(path), n_bytes))
    return tuple(found)


def files_of(draft: Path) -> Iterator[tuple[str, int]]:
    """Every file of a draft with its size (bytes)."""
    for path in sorted(p for p in draft.rglob("*") if p.is_file()):
        yield path.relative_to(draft).as_posix(), path.stat().st_size


def _texts(annotation: Annotation) -> dict[str, str]:
    return {str(one.latent): one.text for one in read_explanations(annotation) if one.text is not None}


def _is_of(row: Mapping[str, Any], source: Source) -> bool:
    return "sae" not in row or row["sae"] in source.saes
