"""An .npy file of unknown length, written as it comes: what a pass writes without holding it."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class NpyAppender:
    """Appends rows to an .npy file; the header gets the final length on exit. Used as a context manager."""

    def __init__(self, path: Path, dtype: str) -> None:
        self.path, self.dtype, self.length = path, np.dtype(dtype), 0

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        self._write_header()
        return self

    def append(self, values: NDArray) -> None:
        """Add values [n], cast to the file's type."""
        self._file.write(np.ascontiguousarray(values, dtype=self.dtype).data)
        self.length += len(values)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._file.seek(0)
            self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        # numpy leaves room in the header for the first axis to grow, so both writes are equally long
        facts = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)}
        npy.write_array_header_1_0(self._file, facts)
