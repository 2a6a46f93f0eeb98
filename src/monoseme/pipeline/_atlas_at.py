"""The atlas that a path means, and the SAE of it."""

from pathlib import Path

from monoseme.atlas import Atlas, open_atlas
from monoseme.core.errors import ArtifactMissingError, ConfigError
from monoseme.core.files import typed
from monoseme.pipeline._folder import RUN_FILE, RunFolder
from monoseme.pipeline._foreign_word import foreign_sae_text

_OF_FOREIGN = "Make one of it with:  monoseme scan PATH --corpus TEXT --out ATLAS"


def atlas_at(path: Path) -> Atlas:
    """The atlas in a folder, or that of a run. Raises ArtifactMissingError."""
    is_run = (path / RUN_FILE).is_file()
    folder = RunFolder(path).atlas if is_run else path
    if not is_run and not (path / "text").is_dir() and (text := foreign_sae_text(path, needed="an atlas", instead=_OF_FOREIGN)):
        raise ArtifactMissingError(text)
    if not folder.is_dir():
        missing = f"the run {path} has no atlas yet" if is_run else f"there is no atlas or run at {path}"
        raise ArtifactMissingError(f"{missing}.\n  Make one with:  monoseme scan {typed(path) if is_run else 'RUN'}")
    return open_atlas(folder)


def only_sae(atlas: Atlas, name: str | None, *, asked_by: str) -> str:
    """The SAE that is named, or the only one. Raises ConfigError, with what to say it by, where several could be meant."""
    if name is not None:
        return name
    names = sorted({key.partition("@")[0] for key in atlas.saes()})
    if len(names) == 1:
        return names[0]
    raise ConfigError(f"this atlas has {len(names)} SAEs.\n  Choose one with {asked_by}: {', '.join(names)}")
