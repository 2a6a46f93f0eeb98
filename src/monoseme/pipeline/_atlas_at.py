"""The atlas that a path means."""

from pathlib import Path

from monoseme.atlas import Atlas, open_atlas
from monoseme.core.errors import ArtifactMissingError
from monoseme.core.files import typed
from monoseme.pipeline._folder import RUN_FILE, RunFolder


def atlas_at(path: Path) -> Atlas:
    """The atlas in a folder, or that of a run. Raises ArtifactMissingError."""
    is_run = (path / RUN_FILE).is_file()
    folder = RunFolder(path).atlas if is_run else path
    if not folder.is_dir():
        missing = f"the run {path} has no atlas yet" if is_run else f"there is no atlas or run at {path}"
        raise ArtifactMissingError(f"{missing}.\n  Make one with:  monoseme scan {typed(path) if is_run else 'RUN'}")
    return open_atlas(folder)
