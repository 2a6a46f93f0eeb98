"""Naming SAEs: an artifact's path, a run (all its SAEs), one of a run, a checkpoint `RUN@step`, or files of another tool."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from monoseme.core.artifact import MANIFEST, open_artifact
from monoseme.core.config import suggest
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactMissingError, SiteError
from monoseme.interchange import imported_config, read_saes, require_sites
from monoseme.models import Site
from monoseme.pipeline._beside import Places
from monoseme.pipeline._folder import RUN_FILE, RunFolder
from monoseme.saes import SAE, load_sae
from monoseme.training import open_checkpoint


class NamedSae(NamedTuple):
    """An SAE, what it is called, and where it belongs."""

    name: str
    sae: SAE
    sites: tuple[Site, ...]
    """Those it learned from, in order."""
    content_hash: str | None
    """Of its artifact; None for a checkpoint and for files of another tool."""
    model: str | None = None
    """The language model that it belongs to, where nothing but its own files can say so."""

    @property
    def site(self) -> Site:
        """The place whose activations it gives back; the first of several."""
        return self.sites[self.sae.roles(len(self.sites)).outputs[0]]


def open_saes(word: str, *, in_training: bool = False, device: torch.device | str = "cpu") -> list[NamedSae]:
    """The SAEs that a word means: `runs/a` (all of the run), `runs/a/saes/topk`, `runs/a@2000`, `runs/a@last`, `runs/a@best`.

    Those of a checkpoint come as they are used, or `in_training` as they learn. All are on `device`: where activations are.
    Raises ArtifactMissingError with what there is, and what opening an artifact raises.
    """
    return [named._replace(sae=named.sae.to(device)) for named in _opened(word, in_training=in_training)]


def _opened(word: str, *, in_training: bool) -> list[NamedSae]:
    base, at, step = word.rpartition("@")
    if at and (Path(base) / RUN_FILE).is_file():
        return _checkpoint(RunFolder(Path(base)), step, in_training=in_training)
    path = Path(word)
    if (path / RUN_FILE).is_file():
        run = RunFolder(path)
        return [_finished(name, run.sae(name)) for name in run.sae_names()]
    if (path / MANIFEST).is_file():
        return [_finished(path.name, path)]
    if path.exists():
        return _foreign(path)
    near = suggest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
    raise ArtifactMissingError(
        f"there is no SAE, run or checkpoint at {word}.{near}\n"
        "  Give a run's folder, RUN/saes/NAME, RUN@STEP, RUN@last, RUN@best, or files of another tool (monoseme ls sae_formats)."
    )


def open_sae(word: str) -> NamedSae:
    """The one SAE that a word means. Raises ArtifactMissingError when it means several."""
    found = open_saes(word)
    if len(found) != 1:
        names = ", ".join(f"{word}/saes/{sae.name}" for sae in found)
        raise ArtifactMissingError(f"{word} holds {len(found)} SAEs; name one.\n  {names}")
    return found[0]


def moved_to(named: NamedSae, sites: Sequence[str] | None, spec: Places) -> NamedSae:
    """The SAE in a model, at one other place where `sites` names one and it takes one, else where it learned.

    Raises SiteError where the model has no such place, or one of another width.
    """
    own = len(named.sites) == 1 and sites is not None
    places = spec.sites(sites if own and sites is not None else [str(site) for site in named.sites])
    if own and len(places) != 1:
        raise SiteError(f"{named.name} can learn on at one place, not at {len(places)}: {', '.join(map(str, places))}")
    for site in places:
        if spec.site_width(site) != named.sae.d_in:
            raise SiteError(
                f"{named.name} reads vectors of D={named.sae.d_in}, but {site} of this model has D={spec.site_width(site)}"
            )
    named.sae.config = dataclasses.replace(named.sae.config, sites=tuple(str(site) for site in places))
    return named._replace(sites=places)


def _finished(name: str, path: Path) -> NamedSae:
    artifact = open_artifact(path, kind="sae")
    sae = load_sae(path)
    return NamedSae(name, sae, _sites(sae, artifact.config["site"]), artifact.content_hash)


def _foreign(path: Path) -> list[NamedSae]:
    """SAEs of another tool, with what was assumed on the way told."""
    found: list[NamedSae] = []
    for one in read_saes(path):
        sites = require_sites(one, path)
        get_display().say(f"{path}: {one.format}" + "".join(f"\n  {note}" for note in one.found.notes))
        sae = one.found.sae
        sae.provenance = imported_config(one)
        found.append(NamedSae(one.found.name, sae, sites, None, one.found.model))
    return found


def _checkpoint(run: RunFolder, step: str, *, in_training: bool) -> list[NamedSae]:
    jobs = run.record()["jobs"]
    saes = open_checkpoint(run.training, int(step) if step.isdigit() else step)
    return [NamedSae(name, sae if in_training else sae.export(), _sites(sae, jobs[name]), None) for name, sae in saes.items()]


def _sites(sae: SAE, noted: str) -> tuple[Site, ...]:
    """Where it learned: as its config says, else as noted beside it."""
    return tuple(Site.parse(site) for site in sae.config.sites or noted.split(","))
