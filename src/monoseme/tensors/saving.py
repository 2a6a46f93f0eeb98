"""Safetensors files of what is in memory, written at once."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file

from monoseme.core.files import open_to_readers
from monoseme.tensors.shapes import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: Path, *, metadata: dict[str, str] | None = None) -> None:
    """Writes tensors at `path`, readable to whom any new file here is: safetensors itself leaves files to their owner alone.

    Raises OSError, or SafetensorError with the system's words in it.
    """
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path, metadata=metadata)
    open_to_readers(path)
