"""Who else is at work: one writer to a folder, and whether a process lives."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from monoseme.core.errors import ArtifactDamagedError, ArtifactExistsError
from monoseme.core.files import guard_disk, typed

LOCK_NAME = ".writer.lock"
"""The file in a folder that its writer holds."""
_NO_LOCKS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Of a folder that may only be read, and of disks of networks that know no locks: there nothing is held."""


@contextlib.contextmanager
def held_alone(path: Path) -> Iterator[None]:
    """Holds the folder's lock for the body; the folder is made, and removed if it is empty at the end.

    The system lets go of it when the process ends, however it does. Nothing is held on Windows, nor where a disk knows no locks.
    Raises ArtifactExistsError where somebody else holds it, ArtifactDamagedError for a link in its place, DiskFullError.
    """
    with guard_disk(path):
        handle = _lock(path)
    try:
        yield
    finally:
        if handle is not None:
            (path / LOCK_NAME).unlink(missing_ok=True)  # while it is held: nobody else can have this one
            os.close(handle)
            with contextlib.suppress(OSError):  # it holds something, as a rule
                path.rmdir()


def is_held(path: Path) -> bool:
    """Whether somebody, this process included, holds the folder's lock; False where nothing can be held."""
    if sys.platform == "win32":
        return False
    import fcntl  # not on Windows

    try:
        handle = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(handle)


def _lock(path: Path) -> int | None:
    """An open file whose lock is ours; None where nothing can be held."""
    if sys.platform == "win32":
        return None
    import fcntl  # not on Windows

    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
            # A link is not followed: it may lead out of the folder, and to where no file can be made. A group may share the file.
            handle = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return None
            if (path / LOCK_NAME).is_symlink() or isinstance(error, IsADirectoryError):
                raise _no_file(path / LOCK_NAME) from error
            if isinstance(error, FileNotFoundError):  # the one before us has just removed the empty folder
                continue
            raise
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if isinstance(error, BlockingIOError):
                raise _in_use(path) from error
            if error.errno in _NO_LOCKS:
                return None
            raise
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # the one before us removed it between our opening and our locking


def _no_file(lock: Path) -> ArtifactDamagedError:
    what = f"a link to {lock.readlink()}" if lock.is_symlink() else "a folder"
    return ArtifactDamagedError(
        f"{lock} is {what}, where the file of a lock has to be.\n  Nobody holds it; remove it:  rm -r {typed(lock)}"
    )


def _in_use(path: Path) -> ArtifactExistsError:
    return ArtifactExistsError(
        f"another process is writing to {path}.\n  Wait until it ends, or stop it and go on by --resume, or give another --out."
    )


def is_alive(pid: str) -> bool:
    """Whether a process with this number runs on this machine; False for what is no number, and on Windows.

    There nothing can be asked without harm, and a file that somebody writes cannot be deleted.
    """
    if sys.platform == "win32" or not pid.isdecimal() or not 0 < int(pid) < 1 << 31:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
