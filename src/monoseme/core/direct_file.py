"""Large files written past the page cache, where the system can: what was written once is not copied, kept and swept up again.

Writing a capture's gigabytes through the page cache took 3.5 seconds of a core per gigabyte (ext4, Linux), beside the 0.2 of a
direct write: a tenth of all that the language model needed.
"""

import errno
import io
import mmap
import os
from pathlib import Path
from typing import Any

_PIECE_BYTES = 4 << 20
"""Written at once; a multiple of every disk's block."""
_BLOCK_BYTES = 4096


class DirectFile(io.RawIOBase):
    """A new file, written from front to back. What is left at its end, less than a block, goes the usual way."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where the file cannot be made, also where its file system knows no direct writes (EINVAL)."""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DIRECT, 0o666)
        self._piece = memoryview(mmap.mmap(-1, _PIECE_BYTES))  # direct writes want memory that begins at a page
        self._held = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Of the open file."""
        return self._fd

    def write(self, data: Any, /) -> int:
        """Takes all of it; the disk gets whole pieces."""
        rest = memoryview(data).cast("B")
        n_bytes = len(rest)
        while len(rest):
            taken = min(len(rest), _PIECE_BYTES - self._held)
            self._piece[self._held : self._held + taken] = rest[:taken]
            self._held, rest = self._held + taken, rest[taken:]
            if self._held == _PIECE_BYTES:
                self._write_out(_PIECE_BYTES)
                self._held = 0
        return n_bytes

    def flush(self) -> None:
        """Whole blocks go directly, the rest through the page cache, as does all that comes after it."""
        if self.closed or not self._held:
            return
        whole = self._held - self._held % _BLOCK_BYTES
        self._write_out(whole)
        if whole < self._held:
            self._leave_direct()
            _write_all(self._fd, self._piece[whole : self._held])
        self._held = 0

    def close(self) -> None:
        """Writes what is left."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            os.close(self._fd)

    def _write_out(self, n_bytes: int) -> None:
        try:
            _write_all(self._fd, self._piece[:n_bytes])
        except OSError as error:
            if error.errno != errno.EINVAL:  # a disk of larger blocks, or one that opens directly what it does not write so
                raise
            self._leave_direct()
            _write_all(self._fd, self._piece[:n_bytes])

    def _leave_direct(self) -> None:
        import fcntl  # not on Windows, which has no such files

        fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT)


def _write_all(fd: int, data: memoryview) -> None:
    while len(data):
        data = data[os.write(fd, data) :]


def open_direct(path: Path) -> DirectFile | None:
    """A new file at `path`; None where the system or the file system writes no file directly."""
    if "O_DIRECT" not in dir(os):
        return None
    try:
        return DirectFile(path)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None
