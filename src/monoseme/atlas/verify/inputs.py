"""Verifies what an atlas was made from: checksums of its files, and hashes of model, SAE and text, before all else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from monoseme.atlas.atlas import Atlas, check_atlas
from monoseme.atlas.latents import Latents
from monoseme.atlas.scanning.feed import Target
from monoseme.atlas.scanning.files import sae_hash
from monoseme.atlas.scanning.needs import ScannedModel
from monoseme.atlas.verify.checks import Check, Tally
from monoseme.core.artifact import MANIFEST, open_artifact


def check_files(atlas: Path) -> Check:
    """Checksums of all files of all parts."""
    tally = Tally("files against the checksums in their manifests")
    tally.n = sum(sum(path.is_file() for path in manifest.parent.iterdir()) - 1 for manifest in _manifests(atlas))
    for problem in check_atlas(atlas):
        tally.fail(problem)
    return tally.done()


def check_chain(atlas: Atlas) -> Check:
    """That every part names the latents and the explanations that lie beside it, by their hashes."""
    tally = Tally("parts against the hashes of what they are about")
    scans = {key: atlas.latents(key).content_hash for key in atlas.saes()}
    for path in _manifests(atlas.path):
        artifact = open_artifact(path.parent, kind="atlas")
        place = path.parent.relative_to(atlas.path)
        named = artifact.inputs.get("latents")
        if named is not None:
            tally.n += 1
            key = place.parts[1] if len(place.parts) > 1 else ""
            if scans.get(key) != named:
                tally.fail(f"{place} is about other latents than latents/{key}")
        explained = artifact.inputs.get("explanations")
        if explained is not None:
            tally.n += 1
            label = str(artifact.config.get("explanations"))
            beside = path.parent.parent / label
            if not (beside / MANIFEST).is_file() or open_artifact(beside).content_hash != explained:
                tally.fail(f"{place} scores other explanations than {label}")
    return tally.done()


def check_inputs(latents: Latents, target: Target, source_spec: Mapping[str, Any], model: ScannedModel | None) -> Check:
    """Hashes of SAE, model and text against those the scan was made from."""
    tally = Tally(f"{latents.key}: model, SAE and text against the hashes in the manifest")
    named = latents.artifact.inputs
    given = {"sae": sae_hash(target)} | ({} if model is None else {"model": model.content_hash()})
    for what, found in given.items():
        if what in named:
            tally.n += 1
            if named[what] != found:
                tally.fail(f"the {what} is another one: {found} instead of {named[what]}")
    tally.n += 1
    for difference in _differences(latents.artifact.config["source"], source_spec, "source"):
        tally.fail(difference)
    return tally.done()


def _differences(stored: Any, given: Any, where: str) -> list[str]:
    """Settings of the scan that are others now. Those that a newer version has added are none of them."""
    if isinstance(stored, Mapping) and isinstance(given, Mapping):
        ours, theirs = cast(Mapping[str, Any], stored), cast(Mapping[str, Any], given)
        pairs = [(ours[key], theirs[key], f"{where}.{key}") for key in ours if key in theirs]
        lacking = [f"{where}.{key} was {ours[key]!r} and is not there" for key in ours if key not in theirs]
        return [*lacking, *(found for pair in pairs for found in _differences(*pair))]
    plain = list(cast(Sequence[Any], given)) if isinstance(given, tuple) else given
    return [] if stored == plain else [f"{where} was {stored!r} and is {plain!r}"]


def _manifests(atlas: Path) -> list[Path]:
    """The manifests of all parts; what a scan has not finished is in hidden folders."""
    found = sorted(Path(atlas).rglob(MANIFEST))
    return [path for path in found if not any(name.startswith(".") for name in path.relative_to(atlas).parts)]
