"""Arrays that a study keeps under its `work` for a resume: whole or absent, and what a damaged one is told by."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from monoseme.core.errors import ArtifactDamagedError, ResumeError
from monoseme.core.files import read_json, write_atomic, write_json

_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,  # JSON of another shape than was written
    AttributeError,
    SafetensorError,
    zipfile.BadZipFile,
    zlib.error,
    ArtifactDamagedError,
)
"""What readers of JSON, safetensors and NumPy's files raise for files that are cut short, changed or gone."""


def write_replicates(path: Path, replicates: Mapping[str, Tensor]) -> None:
    """Metric -> its value under each weighting, as safetensors. Raises DiskFullError."""
    write_atomic(path, save({name: values.contiguous() for name, values in replicates.items()}))


def read_replicates(path: Path) -> dict[str, Tensor]:
    """What `write_replicates` wrote. Raises ArtifactDamagedError."""
    with reading(path):
        return load(path.read_bytes())


def require_same_saes(folder: Path, hashes: Mapping[str, str | None]) -> None:
    """Before what is kept of SAEs in `folder` is gone on with: name -> content hash, written at the first call.

    A pattern may match others by now, or a name mean another SAE. Raises ResumeError then, ArtifactDamagedError, DiskFullError.
    """
    file = folder / "saes.json"
    if not file.is_file():
        write_json(file, dict(hashes))
        return
    with reading(file):
        kept = dict(read_json(file))
    if kept != dict(hashes):
        differ = sorted(name for name in kept.keys() | hashes.keys() if kept.get(name, "") != hashes.get(name, ""))
        raise ResumeError(
            f"{folder} was measured with other SAEs than there are now: {', '.join(differ)}.\n"
            "  Measure all again with --force, or give another --out."
        )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around what reads `path`, a file or folder that a study makes again where it is missing. Raises ArtifactDamagedError."""
    try:
        yield
    except _DAMAGED as error:
        raise ArtifactDamagedError(
            f"{path} is damaged: {error}.\n  Delete it, then go on with --resume: what was in it is measured again."
        ) from error
