"""Hidden folders that are filled beside the place that they become, and what killed processes left of such.

A draft is called `.NAME.WHERE-RANDOM.NUMBER.draft`, after where its process has its number (hashed), a part that no other draft
has, and that number, so that two hosts or containers on one disk do not meet; before it was `.NAME.NUMBER.draft`.
"""

import contextlib
import os
import re
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from monoseme.core.files import guard_disk, hash_bytes, sync_folder
from monoseme.core.lock import is_alive

DRAFT_ENDING = r"(?:[0-9a-f]{8}-[0-9a-f]{8}\.)?\d+\.draft"
"""A pattern of what follows `.NAME.` in the name of a draft."""
_WEEK_SECONDS = 7 * 86_400
"""One from elsewhere, where nobody can be asked, is left behind when nothing was put at its top for so long."""
_FILLED_HERE: set[str] = set()
"""Names of drafts that this process is filling."""


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A hidden folder to fill, which becomes `path` when the body ends; nothing remains if it raises. `path` is not there yet.

    Raises DiskFullError.
    """
    with draft_folder(path) as draft:
        yield draft
        draft.rename(path)
        sync_folder(path.parent)


@contextlib.contextmanager
def draft_folder(path: Path) -> Iterator[Path]:
    """An empty hidden folder beside `path`, for the body to fill and to rename; what is left of it goes at the end.

    Drafts of `path` that killed processes left go before. Raises DiskFullError.
    """
    delete_drafts(path)
    draft = path.with_name(f".{path.name}.{_where()}-{secrets.token_hex(4)}.{os.getpid()}.draft")
    _FILLED_HERE.add(draft.name)
    try:
        with guard_disk(path):
            draft.mkdir(parents=True)
            yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        _FILLED_HERE.discard(draft.name)


def delete_drafts(path: Path) -> None:
    """Deletes the drafts of `path` whose makers live no longer."""
    name = re.compile(rf"\.{re.escape(path.name)}\.(?:(?P<where>[0-9a-f]{{8}})-[0-9a-f]{{8}}\.)?(?P<pid>\d+)\.draft")
    for draft in path.parent.glob(".*.draft"):
        found = name.fullmatch(draft.name)
        if found and draft.is_dir() and not _is_filled(draft, found["where"], found["pid"]):
            shutil.rmtree(draft, ignore_errors=True)


def _is_filled(draft: Path, where: str | None, pid: str) -> bool:
    """Whether somebody may still be at work in a draft."""
    if where != _where() and not (where is None and pid == str(os.getpid())):
        with contextlib.suppress(OSError):  # it has just gone
            return time.time() - draft.stat().st_mtime < _WEEK_SECONDS
        return True
    if pid == str(os.getpid()):  # in a container, the next process may have the number of a killed one
        return draft.name in _FILLED_HERE
    return sys.platform == "win32" or is_alive(pid)  # there nobody can tell who lives


def _where() -> str:
    """Where a number means one process: on this host since it started, and in this container, whatever both are called."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # not on every system
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    return hash_bytes("".join(parts).encode()).removeprefix("sha256:")[:8]
