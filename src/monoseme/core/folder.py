"""A folder of files that are whole or absent, on this machine or at an address such as s3://bucket/name.

What is written under a name appears at once when its writer is done; what a kill or an error leaves behind is no file of the
folder. Local files can be mapped; those at an address are read by ranges.
"""

import contextlib
import io
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from monoseme.core.direct_file import open_direct
from monoseme.core.errors import ArtifactDamagedError, ArtifactMissingError
from monoseme.core.files import guard_disk, sync_folder, write_atomic
from monoseme.core.lock import held_alone, is_alive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PART, _DRAFT, _LOCAL = ".part", ".draft", "file://"
_EARLY_BYTES = 4 << 20
"""A disk works best on pieces of some megabytes, and at the end no more than one is left to wait for."""


class Folder(ABC):
    """Files by name; a name may hold slashes."""

    @abstractmethod
    def __str__(self) -> str:
        """The path or address, as one types it."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Bytes of each whole file below the folder, by name, sorted; empty where there is no folder."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of a file, or None where there is none."""

    @abstractmethod
    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes [start, stop) of a file, to its end for None.

        Raises ArtifactMissingError when there is none, ArtifactDamagedError when it ends before `stop`.
        """

    @abstractmethod
    def map(self, name: str) -> "NDArray[np.uint8] | None":
        """The file's bytes as a read-only array over its pages, or None where files cannot be mapped."""

    @abstractmethod
    def create(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """A file to write from its start to its end; whole when the body is done, absent when it raises. Replaces an older one.

        Raises DiskFullError.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Deletes a file, if it is there."""

    @abstractmethod
    def clean(self) -> None:
        """Deletes what killed writers left behind. At an address only while nobody writes: there nobody can tell who lives."""

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """For the body, no other caller on this machine (nor on the disk, where it knows locks) is in such a body.

        At an address nothing is held. Raises ArtifactExistsError where another one is.
        """
        return contextlib.nullcontext()

    def write(self, name: str, data: bytes | str) -> None:
        """A whole file at once; text is UTF-8. Raises DiskFullError."""
        with self.create(name) as file:
            file.write(data.encode() if isinstance(data, str) else data)

    def names(self) -> list[str]:
        """Names of all whole files below the folder, sorted."""
        return list(self.sizes())

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return self.size(name) is not None


class LocalFolder(Folder):
    """A folder of this machine (or of a disk that several share)."""

    def __init__(self, path: Path) -> None:
        """Assigns; the folder is made by the first write."""
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"LocalFolder({str(self.path)!r})"

    def sizes(self) -> dict[str, int]:
        """Bytes of each whole file."""
        found = (p for p in self.path.rglob("*") if p.is_file() and not p.name.startswith("."))
        return dict(sorted((p.relative_to(self.path).as_posix(), p.stat().st_size) for p in found))

    def size(self, name: str) -> int | None:
        """Bytes of a file."""
        file = self.path / name
        return file.stat().st_size if file.is_file() else None

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes [start, stop) of a file."""
        try:
            with (self.path / name).open("rb") as file:
                file.seek(start)
                data = file.read() if stop is None else file.read(stop - start)
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"no file {self.path / name}") from error
        if stop is not None and len(data) < stop - start:
            raise ArtifactDamagedError(f"{self.path / name} ends at {start + len(data):,} bytes, before {stop:,}")
        return data

    def map(self, name: str) -> "NDArray[np.uint8] | None":
        """The file's bytes. Raises ArtifactMissingError; ArtifactDamagedError for an empty file, which cannot be mapped."""
        try:
            import numpy as np  # artifacts are read without it

            return np.memmap(self.path / name, dtype=np.uint8, mode="r")
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"no file {self.path / name}") from error
        except ValueError as error:
            raise ArtifactDamagedError(f"{self.path / name} is empty") from error

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """A file to write; it lies in a hidden sibling until it is whole and on the disk."""
        file = self.path / name
        draft = file.with_name(f".{file.name}.{os.getpid()}{_PART}")
        with guard_disk(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open_direct(draft) or io.BufferedWriter(_EarlyFile(draft, "wb")) as out:
                    yield cast(BinaryIO, out)
                    out.flush()
                    os.fsync(out.fileno())
                draft.replace(file)
                sync_folder(file.parent)
            finally:
                draft.unlink(missing_ok=True)

    def write(self, name: str, data: bytes | str) -> None:
        """A whole file at once."""
        write_atomic(self.path / name, data)

    def remove(self, name: str) -> None:
        """Deletes a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def clean(self) -> None:
        """Deletes what killed writers left behind; the drafts of processes that live on this machine stay."""
        for ending in (_PART, _DRAFT):
            for draft in self.path.rglob(f".*{ending}"):
                if draft.is_file() and not is_alive(draft.name.removesuffix(ending).rpartition(".")[2]):
                    with contextlib.suppress(PermissionError):  # Windows: somebody writes it
                        draft.unlink(missing_ok=True)

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Holds a lock in the folder, which is made; a folder that is empty at the end is removed."""
        return held_alone(self.path)


class _EarlyFile(io.FileIO):
    """A file whose bytes begin their way to the disk while more are written, so that the flush at its end has little to wait for.

    Without it, Linux keeps what was written in memory for half a minute, and the flush of a shard then waits for all of it.
    """

    _end = _begun = 0

    def write(self, data: Any, /) -> int:
        """Does not wait for the disk."""
        n_bytes = super().write(data)
        self._end += n_bytes
        if self._end - self._begun >= _EARLY_BYTES and sys.platform == "linux":
            # Pages on their way are not dropped by this advice: Linux starts to write them, and readers find them in memory.
            os.posix_fadvise(self.fileno(), self._begun, self._end - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = self._end
        return n_bytes


def open_folder(where: str | Path) -> Folder:
    """The folder at a path or file://, or at an address with another scheme (s3://, gs://, hf://, memory://), by fsspec.

    Raises ConfigError for a scheme that is not known, ExtraMissingError where the scheme's package is not installed, AddressError
    where the place cannot be reached.
    """
    text = str(where)
    if "://" not in text:
        return LocalFolder(Path(where))
    if text.startswith(_LOCAL):
        return LocalFolder(Path(text.removeprefix(_LOCAL)))
    from monoseme.core.remote import RemoteFolder  # fsspec is loaded only for an address

    return RemoteFolder(text)


def is_address(where: str | Path) -> bool:
    """Whether it names a place by a scheme, not a path of this machine."""
    return "://" in str(where)
