"""Files that are either whole or absent: atomic writes, checksums, JSON without NaN.

A write goes to a hidden sibling, is flushed to disk, and is renamed into place; a kill leaves the old file or none. A full disk
becomes `DiskFullError` wherever `guard_disk` is around the write.
"""

import contextlib
import errno
import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monoseme.core.errors import ArtifactDamagedError, ArtifactMissingError, DiskFullError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def guard_disk(path: Path) -> Iterator[None]:
    """Turns "no space left" while writing at `path` into `DiskFullError`."""
    try:
        yield
    except Exception as error:  # libraries that write wrap the system's error in their own; anything else goes on as it is
        if getattr(error, "errno", None) in _NO_SPACE or "No space left on device" in str(error):
            raise disk_full(path) from error
        raise


def disk_full(path: Path) -> DiskFullError:
    """The error for a full disk at `path`."""
    return DiskFullError(
        f"the disk is full: could not write {path}.\n"
        "  What was complete before is untouched. Free some space, or choose another folder with --out, then type it again."
    )


def typed(path: Path | str) -> str:
    """`path` as one types it in a shell: quoted where it holds a space or another character that a shell reads."""
    return shlex.quote(str(path))


def write_atomic(path: Path, content: bytes | str) -> None:
    """Writes `content` at `path`, whole or not at all; parents are made. Text is UTF-8.

    Raises DiskFullError.
    """
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with guard_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def open_to_readers(path: Path) -> None:
    """Gives a file the mode that any new file has here; libraries that write by way of a temporary file leave it to its owner."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.mode")
    try:
        draft.touch()
        path.chmod(draft.stat().st_mode)
    finally:
        draft.unlink(missing_ok=True)


def to_json(value: Any) -> str:
    """Canonical JSON of `value`: sorted keys, two spaces, no NaN (raises ValueError on one)."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as canonical JSON, atomically. Raises DiskFullError; ValueError on NaN or infinity."""
    write_atomic(path, to_json(value))


def read_json(path: Path) -> Any:
    """The JSON in `path`. Raises ArtifactMissingError or ArtifactDamagedError."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactMissingError(f"no file {path}") from error
    except (ValueError, RecursionError) as error:  # no JSON, no text, a number of thousands of digits, brackets without end
        raise ArtifactDamagedError(f"{path} is not valid JSON ({error})") from error


def hash_bytes(data: bytes) -> str:
    """`sha256:` and the hexadecimal digest of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def hash_file(path: Path) -> str:
    """`sha256:` and the hexadecimal digest of the file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def hash_json(value: Any) -> str:
    """`hash_bytes` of the canonical JSON of `value`."""
    return hash_bytes(to_json(value).encode())


def sync_folder(path: Path) -> None:
    """Flushes a folder's entries to disk, so that a rename survives a power cut; a no-op where folders cannot be opened."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
