"""Naming SAEs: an artifact's path, a run (all its SAEs), one of a run, or a checkpoint `RUN@step`."""

from pathlib import Path
from typing import NamedTuple

from monoseme.core.artifact import MANIFEST, open_artifact
from monoseme.core.config import suggest
from monoseme.core.errors import ArtifactMissingError
from monoseme.models import Site
from monoseme.pipeline._folder import RUN_FILE, RunFolder
from monoseme.saes import SAE, load_sae
from monoseme.training import open_checkpoint


class NamedSae(NamedTuple):
    """An SAE, what it is called, and where it reads."""

    name: str
    sae: SAE
    site: Site
    content_hash: str | None
    """Of its artifact; None for a checkpoint."""


def open_saes(word: str) -> list[NamedSae]:
    """The SAEs that a word means: `runs/a` (all of the run), `runs/a/saes/topk`, `runs/a@2000`, `runs/a@last`, `runs/a@best`.

    Raises ArtifactMissingError with what there is, and what opening an artifact raises.
    """
    base, at, step = word.rpartition("@")
    if at and (Path(base) / RUN_FILE).is_file():
        return _checkpoint(RunFolder(Path(base)), step)
    path = Path(word)
    if (path / RUN_FILE).is_file():
        run = RunFolder(path)
        return [_finished(name, run.sae(name)) for name in run.sae_names()]
    if (path / MANIFEST).is_file():
        return [_finished(path.name, path)]
    near = suggest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
    raise ArtifactMissingError(
        f"there is no SAE, run or checkpoint at {word}.{near}\n"
        "  Give a run's folder, RUN/saes/NAME, RUN@STEP, RUN@last or RUN@best."
    )


def open_sae(word: str) -> NamedSae:
    """The one SAE that a word means. Raises ArtifactMissingError when it means several."""
    found = open_saes(word)
    if len(found) != 1:
        names = ", ".join(f"{word}/saes/{sae.name}" for sae in found)
        raise ArtifactMissingError(f"{word} holds {len(found)} SAEs; name one.\n  {names}")
    return found[0]


def _finished(name: str, path: Path) -> NamedSae:
    artifact = open_artifact(path, kind="sae")
    return NamedSae(name, load_sae(path), Site.parse(artifact.config["site"]), artifact.content_hash)


def _checkpoint(run: RunFolder, step: str) -> list[NamedSae]:
    sites = run.record()["jobs"]
    saes = open_checkpoint(run.training, int(step) if step.isdigit() else step)
    return [NamedSae(name, sae.export(), Site.parse(sites[name]), None) for name, sae in saes.items()]
