"""Plain arrays in one .npz file, written whole or not at all: how gatherers put themselves down."""

import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.files import guard_disk


def write_npz(path: Path, **arrays: NDArray) -> None:
    """Write the arrays, on disk when it returns. Raises DiskFullError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    with guard_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)


def read_npz(path: Path, *names: str) -> list[NDArray]:
    """The arrays of those names. Raises ArtifactDamagedError if one is missing or the file is cut short."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactDamagedError(f"{path} is not whole: {error}. Scan again.") from error
