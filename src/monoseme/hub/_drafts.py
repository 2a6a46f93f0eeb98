"""Folders in which a push gathers what it sends: what a killed one left of them goes at the next one.

A process that is killed cannot tidy up, and an atlas may be gigabytes. What nobody is filling any more, the next one tells by a
lock, which the system lets go of when a process ends.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from monoseme.core.errors import DiskFullError
from monoseme.core.files import guard_disk
from monoseme.core.lock import LOCK_NAME, held_alone, is_held

_PREFIX = "monoseme-push-"
_MARK = ".made-by-a-push"
"""A file in such a folder: one of somebody's own may be called likewise, and without it nothing is deleted."""
_MOMENT_SECONDS = 10
"""A folder that is younger may be one whose push is about to take its lock."""
_DAY_SECONDS = 86_400
"""One without a lock is on a disk that knows none, or its push begins or ends at this moment."""


@contextlib.contextmanager
def push_folder() -> Iterator[Path]:
    """A folder among the temporary ones, which is gone afterwards, and those of pushes that were killed with it.

    Raises DiskFullError where the disk of temporary files has no room; TMPDIR names another one.
    """
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as temporary, held_alone(Path(temporary)):
        with guard_disk(Path(temporary)):
            (Path(temporary) / _MARK).touch()
        _delete_left(Path(temporary))
        try:
            yield Path(temporary)
        finally:  # the mark last: a kill in the middle leaves what the next push deletes
            for path in Path(temporary).iterdir():
                if path.name not in (_MARK, LOCK_NAME):
                    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def room_for_files() -> Iterator[None]:
    """Tells of a full disk as one that holds temporary files."""
    try:
        with guard_disk(Path(tempfile.gettempdir())):
            yield
    except DiskFullError as error:
        raise DiskFullError(
            f"the disk of temporary files is full: {tempfile.gettempdir()}.\n"
            "  A push gathers there what it sends; nothing was sent. Free some space there, or name a folder on another disk in "
            "TMPDIR, then type it again."
        ) from error


def _delete_left(ours: Path) -> None:
    """Deletes the folders of pushes of this user that nobody holds, where a disk knows locks."""
    if not is_held(ours):
        return
    for folder in ours.parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another push has just deleted it
            facts = folder.lstat()
            age_seconds = time.time() - facts.st_mtime
            has_lock = (folder / LOCK_NAME).exists()
            is_left = age_seconds > (_MOMENT_SECONDS if has_lock else _DAY_SECONDS) and not is_held(folder)
            is_of_push = facts.st_uid == os.getuid() and not folder.is_symlink() and (folder / _MARK).is_file()
            if is_of_push and is_left:
                shutil.rmtree(folder, ignore_errors=True)
