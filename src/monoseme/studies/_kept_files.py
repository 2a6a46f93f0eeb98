"""Arrays that a study keeps under its `work` for a resume: whole or absent, and what a damaged one is told by."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.files import write_atomic

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


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around what reads `path`, a file or folder that a study makes again where it is missing. Raises ArtifactDamagedError."""
    try:
        yield
    except _DAMAGED as error:
        raise ArtifactDamagedError(
            f"{path} is damaged: {error}.\n  Delete it, then go on with --resume: what was in it is measured again."
        ) from error
