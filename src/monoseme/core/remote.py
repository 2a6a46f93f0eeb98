"""Folders at addresses, by fsspec: s3://, gs://, hf://, and whatever else it knows, such as sftp:// and memory://.

A file is first written on this machine, in the system's folder for temporary files, and sent when it is whole: an error while it
is written never touches what is at the address. Object stores show an upload when it has come to its end. Where that is not known
of a protocol, the upload goes to a hidden sibling, which is then moved. Retries are fsspec's.

Credentials are found as each protocol's own tools find theirs: environment, files in the home folder.
"""

import contextlib
import posixpath
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from monoseme.core.errors import (
    AddressError,
    ArtifactDamagedError,
    ArtifactMissingError,
    ConfigError,
    ExtraMissingError,
    MonosemeError,
)
from monoseme.core.files import guard_disk
from monoseme.core.folder import Folder

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Scheme -> the extra of ours with its package."""
_WHOLE_AT_CLOSE = frozenset({"s3", "s3a", "gs", "gcs", "hf", "abfs", "abfss", "az", "adl", "oci", "oss", "memory"})
"""Protocols of which a file is seen only when its upload is done."""
_DRAFT = ".part"


class RemoteFolder(Folder):
    """A folder at an address. Several processes may write different files of it at once."""

    def __init__(self, address: str) -> None:
        """Connects, where the protocol does so at once.

        Raises ConfigError for a scheme that is not known, ExtraMissingError where its package is not installed, AddressError.
        """
        self.address = address.rstrip("/")
        self._system, self._root = _connect(self.address)
        protocol = self._system.protocol
        protocols = (protocol,) if isinstance(protocol, str) else tuple(protocol)
        self._is_whole_at_close = any(name in _WHOLE_AT_CLOSE for name in protocols)

    def __str__(self) -> str:
        return self.address

    def __repr__(self) -> str:
        return f"RemoteFolder({self.address!r})"

    def sizes(self) -> dict[str, int]:
        """Bytes of each whole file, by one listing."""
        with self._reached("list"):
            self._system.invalidate_cache()  # another process may have written since
            try:
                found: dict[str, dict[str, Any]] = self._system.find(self._root, detail=True)
            except FileNotFoundError:
                return {}
        root = self._root.rstrip("/") + "/"
        inside = {path.removeprefix(root): facts for path, facts in found.items() if path.startswith(root)}
        return {name: int(inside[name]["size"]) for name in sorted(inside) if not posixpath.basename(name).startswith(".")}

    def size(self, name: str) -> int | None:
        """Bytes of a file."""
        with self._reached("look at", name):
            self._system.invalidate_cache()
            try:
                facts = self._system.info(self._at(name))
            except FileNotFoundError:
                return None
        return int(facts["size"]) if facts["type"] == "file" else None

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes [start, stop) of a file, by one request."""
        if stop is not None and stop <= start:
            return b""
        try:
            with self._reached("read", name):
                data = self._fetch(name, start, stop)
        except AddressError:
            self._require_end(name, stop)  # some stores refuse a range that a cut file does not have
            raise
        if stop is not None and len(data) < stop - start:
            raise _short(f"{self}/{name}", start + len(data), stop)
        return data

    def map(self, name: str) -> NDArray[np.uint8] | None:
        """None: nothing at an address can be mapped."""
        del name
        return None

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """A file to write; it lies on this machine until it is whole, and is then sent."""
        with tempfile.TemporaryDirectory(prefix="monoseme-") as folder:
            draft = Path(folder) / "whole"
            with guard_disk(draft), draft.open("wb") as out:
                yield out
            with self._reached("write", name), self._placed(name) as path:
                self._system.put_file(str(draft), path)

    def write(self, name: str, data: bytes | str) -> None:
        """A whole file at once."""
        with self._reached("write", name), self._placed(name) as path:
            self._system.pipe_file(path, data.encode() if isinstance(data, str) else data)

    def remove(self, name: str) -> None:
        """Deletes a file, if it is there."""
        with self._reached("delete", name), contextlib.suppress(FileNotFoundError):
            self._system.rm_file(self._at(name))

    def clean(self) -> None:
        """Deletes the hidden siblings that killed writers left behind."""
        with self._reached("list"), contextlib.suppress(FileNotFoundError):
            for path in self._system.find(self._root):
                name = posixpath.basename(path)
                if name.startswith(".") and name.endswith(_DRAFT):
                    self._system.rm_file(path)

    def _at(self, name: str) -> str:
        return posixpath.join(self._root, name)

    def _fetch(self, name: str, start: int, stop: int | None) -> bytes:
        try:
            return self._system.cat_file(self._at(name), start=start or None, end=stop)
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"no file {self}/{name}") from error

    def _require_end(self, name: str, stop: int | None) -> None:
        n_bytes = self.size(name)
        if n_bytes is not None and stop is not None and n_bytes < stop:
            raise _short(f"{self}/{name}", n_bytes, stop)

    @contextlib.contextmanager
    def _placed(self, name: str) -> Iterator[str]:
        """Where to upload to; afterwards it is at its place."""
        path = self._at(name)
        if self._is_whole_at_close:
            yield path
            return
        parent, last = posixpath.split(path)
        draft = posixpath.join(parent, f".{last}{_DRAFT}")
        self._system.makedirs(parent, exist_ok=True)
        yield draft
        self._system.mv(draft, path)

    @contextlib.contextmanager
    def _reached(self, doing: str, name: str = "") -> Iterator[None]:
        with _reached(f"{doing} {posixpath.join(str(self), name).rstrip('/')}"):
            yield


def _connect(address: str) -> tuple[Any, str]:
    """The file system, and the address as a path in it."""
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    scheme = address.partition("://")[0]
    try:
        with _reached(f"open {address}"):
            system, root = url_to_fs(address)
    except ImportError as error:
        if scheme in _EXTRAS:
            raise ExtraMissingError(f"an address with {scheme}://", extra=_EXTRAS[scheme]) from error
        raise ConfigError(f"{address} needs a package that is not installed: {error}") from error
    except ValueError as error:
        if scheme in known_implementations:
            raise ConfigError(f"{address} is no address: {error}") from error
        raise ConfigError(
            f'no way to open {address}: the scheme "{scheme}" is not known.\n'
            "  Allowed: a path, s3://, gs://, hf://, and what else fsspec knows"
        ) from error
    return system, str(root)


@contextlib.contextmanager
def _reached(doing: str) -> Iterator[None]:
    """Turns what the network, the other side or its package objects to into `AddressError`."""
    try:
        yield
    except Exception as error:  # each protocol's package has errors of its own, without a common base
        if isinstance(error, MonosemeError | ImportError) or not _is_foreign(error):
            raise
        raise AddressError(
            f"could not {doing}: {error or type(error).__name__}.\n"
            "  Check the address, the network and your credentials; what was complete before is untouched."
        ) from error


def _is_foreign(error: Exception) -> bool:
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] not in ("builtins", "monoseme")


def _short(where: str, end: int, stop: int) -> ArtifactDamagedError:
    return ArtifactDamagedError(f"{where} ends at {end:,} bytes, before {stop:,}")
