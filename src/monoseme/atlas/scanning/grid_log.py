"""The tokens of a pass as they came, block by block, in a growing file: cut back to a checkpoint, and read again in the end.

Written by each process of a scan for its own blocks; the text store is then made of all blocks in their order, so it is the same
however often the pass was killed and however many processes shared it. The file is one .npy array after another: for each block
the fields of a `TokenGrid`, int64 as int32 where that is enough, an absent field as an empty array.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from monoseme.atlas.text_store import TokenGrid
from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.files import guard_disk

_NARROW = np.iinfo(np.int32)


class GridLog:
    """Appends grids to a file. `length`: bytes of it that count."""

    def __init__(self, path: Path, *, length: int = 0) -> None:
        """What stands in the file after `length` is dropped. Raises ArtifactDamagedError if it is shorter."""
        self.path = path
        self._file: BinaryIO = path.open("r+b" if length else "wb")
        if self._file.seek(0, os.SEEK_END) < length:
            self._file.close()
            raise ArtifactDamagedError(f"{path} was cut short. Scan again, without --resume.")
        self._file.truncate(length)
        self._file.seek(length)

    def append(self, grid: TokenGrid) -> None:
        """Write one block. Raises DiskFullError."""
        with guard_disk(self.path):
            for column in grid:
                npy.write_array(self._file, np.empty(0, np.int8) if column is None else _narrow(column), allow_pickle=False)

    def sync(self) -> int:
        """Flush to disk. The length of the file."""
        with guard_disk(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file; all of it was written."""
        self._file.close()


def _narrow(column: NDArray) -> NDArray:
    if column.dtype != np.int64 or column.min() < _NARROW.min or column.max() > _NARROW.max:
        return column
    return column.astype(np.int32)


def read_grids(paths: list[Path], n_blocks: int) -> Iterator[TokenGrid]:
    """Blocks 0 to `n_blocks` in order, of which file i of n holds i, i + n, i + 2n and so on."""
    files = [path.open("rb") for path in paths]
    try:
        for block in range(n_blocks):
            file = files[block % len(files)]
            yield TokenGrid(*(_read(file) for _ in TokenGrid._fields))
    finally:
        for file in files:
            file.close()


def _read(file: BinaryIO) -> Any:
    column = npy.read_array(file, allow_pickle=False)
    if not column.size:
        return None
    return column.astype(np.int64) if column.dtype == np.int32 else column
