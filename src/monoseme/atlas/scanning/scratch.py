"""Where a scan keeps what is not finished: `ATLAS/.scan-IDENTITY/rank-R/`, named by all that decides what will be written.

So two scans into one atlas do not meet, and what a killed one left is found by the same scan and by no other.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monoseme.core.artifact import exists_error
from monoseme.core.files import hash_json, read_json, sync_folder, write_json
from monoseme.core.lock import held_alone
from monoseme.tensors.processes import Group

_MOST_OF_THE_PASS = 0.02
"""Share of a pass's time that may go into checkpoints."""
_CHECKPOINT = "checkpoint.json"


def scratch_folder(atlas: Path, identity: Any) -> Path:
    """The folder of the scan that is told by `identity`, plain JSON."""
    return atlas / f".scan-{hash_json(identity).removeprefix('sha256:')[:16]}"


def rank_folder(folder: Path, rank: int) -> Path:
    """The part of one process."""
    return folder / f"rank-{rank}"


@contextlib.contextmanager
def held_scratch(folder: Path, processes: Group, *, resume: bool, command: str) -> Iterator[Path]:
    """This process's part of a scan's folder, to which no other scan writes meanwhile. `command` goes on with a stopped scan.

    After the body all goes; after an error what can be taken up again stays. Raises ArtifactExistsError where the same scan is
    running, or was stopped and is not to go on.
    """
    own = rank_folder(folder, processes.rank)
    with held_alone(folder) if processes.rank == 0 else contextlib.nullcontext():
        if processes.rank == 0 and not resume:
            if any(folder.glob(f"*/{_CHECKPOINT}")):
                raise exists_error(folder, instead=f"This scan was stopped before its end. Go on with:  {command}")
            _clear(folder)
        processes.wait()
        own.mkdir(parents=True, exist_ok=True)
        try:
            yield own
        except BaseException:
            if not (own / _CHECKPOINT).exists():
                shutil.rmtree(own, ignore_errors=True)
            raise
        processes.wait()
        if processes.rank == 0:
            _clear(folder)


def _clear(folder: Path) -> None:
    for part in folder.glob("*"):
        if part.is_dir():
            shutil.rmtree(part)


def read_checkpoint(own: Path) -> dict[str, Any] | None:
    """What the last checkpoint said; None where there is none. Raises ArtifactDamagedError."""
    return read_json(own / _CHECKPOINT) if (own / _CHECKPOINT).exists() else None


def write_checkpoint(own: Path, told: dict[str, Any]) -> None:
    """Makes a checkpoint count, once all that it needs is on disk."""
    write_json(own / _CHECKPOINT, told)
    sync_folder(own)


class Pace:
    """When to make a checkpoint: after so many seconds, and seldom enough that all of them take 2 % of the time at most."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._cost, self._ended = seconds, 0.0, time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() - self._ended >= max(self._seconds, self._cost / _MOST_OF_THE_PASS)

    @contextlib.contextmanager
    def paid(self) -> Iterator[None]:
        """Around the making of a checkpoint, to know what one costs."""
        began = time.monotonic()
        yield
        self._ended = time.monotonic()
        self._cost = self._ended - began
