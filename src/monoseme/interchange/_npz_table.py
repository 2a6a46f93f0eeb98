"""Arrays from `.npz` files of others: plain numbers only, and no more of them than the file is large."""

import math
import zipfile
from pathlib import Path

import numpy as np
import torch

from monoseme.core.errors import ForeignError
from monoseme.tensors.shapes import Tensor

_MOST_TIMES = 20
"""An array may take so many times the room of its compressed form: weights hardly compress, a bomb does a thousandfold."""
_SMALL = 1 << 20
_MOST_ARRAYS = 64
_BROKEN = (OSError, ValueError, EOFError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zipfile.LargeZipFile)


def npz_names(path: Path) -> frozenset[str]:
    """Names of the arrays, from the directory at the end of the file; empty for a file that is none. Never raises."""
    try:
        with zipfile.ZipFile(path) as file:
            return frozenset(name.removesuffix(".npy") for name in file.namelist()[:_MOST_ARRAYS])
    except _BROKEN:
        return frozenset()


def load_npz(path: Path) -> dict[str, Tensor]:
    """Its arrays by name. Raises ForeignError for a file that is cut, holds objects, or claims more than it can hold."""
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            if len(entries) > _MOST_ARRAYS:
                raise ForeignError(f"{path} holds {len(entries)} arrays, more than the {_MOST_ARRAYS} that are read")
            return {entry.filename.removesuffix(".npy"): _array(file, entry, path) for entry in entries}
    except _BROKEN as error:
        raise ForeignError(f"{path} is not a whole .npz file: {str(error)[:200] or type(error).__name__}") from error


def _array(file: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> Tensor:
    """One array, its header read and believed only as far as the bytes go."""
    where = f"{path}: {entry.filename[:80]}"
    if entry.file_size > _MOST_TIMES * entry.compress_size + _SMALL:
        raise ForeignError(f"{where} would grow from {entry.compress_size:,} to {entry.file_size:,} bytes: it is no weights")
    with file.open(entry) as data:
        version = np.lib.format.read_magic(data)
        if version not in ((1, 0), (2, 0)):
            raise ForeignError(f"{where} is written in version {version} of the format; 1.0 and 2.0 are read")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = read(data)
        if dtype.hasobject or dtype.kind not in "fiub":
            raise ForeignError(f"{where} holds {dtype}, not plain numbers")
        n_bytes = math.prod(shape) * dtype.itemsize
        if not 0 <= n_bytes <= entry.file_size:
            raise ForeignError(f"{where} claims {list(shape)} numbers of {dtype} in {entry.file_size:,} bytes")
        content = bytearray(n_bytes)
        n_read: int = data.readinto(content)  # pyright: ignore[reportAttributeAccessIssue]  a ZipExtFile has it
        if n_read != n_bytes or data.read(1):  # at its end, the checksum is compared
            raise ForeignError(f"{where} does not hold the numbers that it claims")
    found = np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if columns_first else "C")
    return torch.from_numpy(np.ascontiguousarray(found.astype(dtype.newbyteorder("="), copy=False)))
