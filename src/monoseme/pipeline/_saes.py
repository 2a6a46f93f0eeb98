"""Naming SAEs: an artifact's path, a run (all its SAEs), one of a run, a checkpoint `RUN@step`, files of another tool, and any of
these on the hub.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from monoseme.core.artifact import MANIFEST, open_artifact
from monoseme.core.config import suggest
from monoseme.core.display import get_display
from monoseme.core.errors import AddressError, ArtifactMissingError, ConfigError, SiteError
from monoseme.core.files import hash_bytes, hash_json, typed
from monoseme.core.folder import LocalFolder
from monoseme.core.manifest import read_manifest
from monoseme.interchange import ExportSource, imported_config, read_saes, require_sites
from monoseme.models import Site
from monoseme.models.hub_words import SCHEME, fetched, hub_word, is_kept_repository, snapshot_in
from monoseme.pipeline._beside import Places
from monoseme.pipeline._folder import RUN_FILE, RunFolder
from monoseme.saes import SAE, config_to_dict, load_sae
from monoseme.training import open_checkpoint


class NamedSae(NamedTuple):
    """An SAE, what it is called, and where it belongs."""

    name: str
    sae: SAE
    sites: tuple[Site, ...]
    """Those it learned from, in order."""
    content_hash: str | None
    """Of its artifact, or of its settings and numbers where another tool's files hold it; None for a checkpoint."""
    model: str | None = None
    """The language model that it belongs to, as its own files name it; None where they do not."""

    @property
    def site(self) -> Site:
        """The place whose activations it gives back; the first of several."""
        return self.sites[self.sae.roles(len(self.sites)).outputs[0]]

    @property
    def export_source(self) -> ExportSource:
        """Where it comes from, as formats of other tools want to know."""
        facts = dict(self.sae.provenance)
        return ExportSource(name=self.name, sites=self.sites, model=self.model or _model_named(facts), facts=facts)


def open_saes(word: str, *, in_training: bool = False, device: torch.device | str = "cpu") -> list[NamedSae]:
    """The SAEs that a word means: `runs/a` (all of the run), `runs/a/saes/topk`, `runs/a@2000`, `runs/a@last`, `runs/a@best`, a
    file or folder of another tool, a folder of several artifacts, or `hf://owner/name@revision/folder` (see `models.hub_words`).

    Those of a checkpoint come as they are used, or `in_training` as they learn. All are on `device`: where activations are.
    Raises ArtifactMissingError with what there is, and what opening an artifact raises.
    """
    return [named._replace(sae=named.sae.to(device)) for named in _opened(word, in_training=in_training)]


def _opened(word: str, *, in_training: bool) -> list[NamedSae]:
    base, at, step = word.rpartition("@")
    if at and (Path(base) / RUN_FILE).is_file():
        return _checkpoint(RunFolder(Path(base)), step, in_training=in_training)
    path = Path(word)
    if path.exists():
        return _at(path, word)
    if at and is_kept_repository(Path(base)):
        return _at(snapshot_in(Path(base), step), word)
    wanted = hub_word(word)
    near = suggest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
    missing = (
        f"there is no SAE, run or checkpoint at {word}.{near}\n"
        "  Give a run's folder, RUN/saes/NAME, RUN@STEP, RUN@last, RUN@best, files of another tool (monoseme ls sae_formats),\n"
        "  or hf://owner/name."
    )
    if wanted is None:
        raise ArtifactMissingError(missing)
    try:
        return _at(fetched(wanted), word)
    except AddressError as error:
        if word.startswith(SCHEME):
            raise
        raise ArtifactMissingError(f"{missing} As one: {error}") from error


def _at(path: Path, word: str) -> list[NamedSae]:
    """The SAEs in a file or a folder; `word` is what it was called."""
    if is_kept_repository(path):
        path = snapshot_in(path, None)
    if (path / RUN_FILE).is_file():
        run = RunFolder(path)
        return [_finished(name, run.sae(name)) for name in run.sae_names()]
    if (path / MANIFEST).is_file():
        return [_finished(Path(word).name.partition("@")[0], path)]
    if inner := _artifacts_in(path):
        return [_finished(one.name, one) for one in inner]
    return _foreign(path, word)


def _artifacts_in(path: Path) -> list[Path]:
    """SAEs that an import of several wrote side by side."""
    folders = sorted(one for one in path.iterdir() if (one / MANIFEST).is_file()) if path.is_dir() else []
    return [one for one in folders if read_manifest(LocalFolder(one)).get("kind") == "sae"]


def open_sae(word: str) -> NamedSae:
    """The one SAE that a word means. Raises ArtifactMissingError when it means several."""
    found = open_saes(word)
    if len(found) != 1:
        inner = f"{word}/saes" if (Path(word) / RUN_FILE).is_file() else word
        names = ", ".join(f"{inner}/{sae.name}" for sae in found)
        raise ArtifactMissingError(f"{word} holds {len(found)} SAEs; name one.\n  {names}")
    return found[0]


def require_width(named: NamedSae, sites: Sequence[Site], spec: Places) -> None:
    """Raises SiteError where a model has no such place, or one of another width than the SAE reads."""
    for site in spec.sites([str(site) for site in sites]):
        if spec.site_width(site) != named.sae.d_in:
            raise SiteError(
                f"{named.name} reads vectors of D={named.sae.d_in}, but {site} of this model has D={spec.site_width(site)}"
            )


def moved_to(named: NamedSae, sites: Sequence[str] | None, spec: Places) -> NamedSae:
    """The SAE in a model, at one other place where `sites` names one and it takes one, else where it learned.

    Raises SiteError where the model has no such place, or one of another width.
    """
    own = len(named.sites) == 1 and sites is not None
    places = spec.sites(sites if own and sites is not None else [str(site) for site in named.sites])
    if own and len(places) != 1:
        raise SiteError(f"{named.name} can learn on at one place, not at {len(places)}: {', '.join(map(str, places))}")
    require_width(named, places, spec)
    named.sae.config = dataclasses.replace(named.sae.config, sites=tuple(str(site) for site in places))
    return named._replace(sites=places)


def _finished(name: str, path: Path) -> NamedSae:
    artifact = open_artifact(path, kind="sae")
    sae = load_sae(path)
    return NamedSae(name, sae, _sites(sae, artifact.config["site"]), artifact.content_hash, _model_named(artifact.config))


def _model_named(config: dict[str, Any]) -> str | None:
    """The model that an artifact notes: its name, or its settings."""
    found = config.get("model")
    found = found.get("model") if isinstance(found, dict) else found
    return found if isinstance(found, str) else None


def _foreign(path: Path, word: str) -> list[NamedSae]:
    """SAEs of another tool, with what was assumed on the way told."""
    try:
        read = read_saes(path)
    except ConfigError as error:
        flags = f"  Settings of a format are flags of import:  monoseme import {typed(word)} --out OUT, then give OUT"
        raise ConfigError(f"{error}\n{flags}") from error
    found: list[NamedSae] = []
    for one in read:
        sites = require_sites(one, path)
        sae = one.found.sae
        sae.provenance = imported_config(one)
        found.append(NamedSae(one.found.name, sae, sites, _hash_of(sae), one.found.model))
    notes = dict.fromkeys(note for one in read for note in one.found.notes)
    _tell_once("".join([f"{word}: recognised as {read[0].format}", *(f"\n  {note}" for note in notes)]))
    return found


@functools.cache
def _tell_once(text: str) -> None:
    """What was recognised and assumed; a verb that opens an SAE twice says it once."""
    get_display().say(text)


def _hash_of(sae: SAE) -> str:
    """Of the settings and the numbers of an SAE that has no manifest."""
    tensors = {
        name: hash_bytes(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        for name, value in sae.state_dict().items()
    }
    return hash_json({"config": config_to_dict(sae.config), "tensors": tensors})


def _checkpoint(run: RunFolder, step: str, *, in_training: bool) -> list[NamedSae]:
    jobs = run.record()["jobs"]
    saes = open_checkpoint(run.training, int(step) if step.isdigit() else step)
    return [NamedSae(name, sae if in_training else sae.export(), _sites(sae, jobs[name]), None) for name, sae in saes.items()]


def _sites(sae: SAE, noted: str) -> tuple[Site, ...]:
    """Where it learned: as its config says, else as noted beside it."""
    return tuple(Site.parse(site) for site in sae.config.sites or noted.split(","))
