"""Where the rows of a run go: always `metrics.jsonl`, and the trackers asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from monoseme.training.metrics import MetricsFile
from monoseme.training.trackers import Tracker, open_tracker


class Record:
    """The metrics file and its subscribers, as one place to write to; a context that closes them."""

    def __init__(self, file: MetricsFile | None = None, trackers: Sequence[Tracker] = ()) -> None:
        """Without a file nothing is kept: for a process that leaves the record to another one."""
        self._file = file
        self._trackers = trackers

    @classmethod
    def open(cls, path: Path, *, keep_bytes: int, trackers: Sequence[str], facts: Mapping[str, Any]) -> Self:
        """`facts` (the resolved configuration) go to the trackers. Raises ExtraMissingError, ResumeError."""
        opened = [open_tracker(name, folder=path.parent, facts=facts) for name in trackers]
        return cls(MetricsFile(path, keep_bytes=keep_bytes), opened)  # the file last: it is open only if nothing else failed

    def write(self, row: Mapping[str, Any]) -> None:
        """One row, to all."""
        if self._file is not None:
            self._file.write(row)
        for tracker in self._trackers:
            tracker.log(row)

    def sync(self) -> int:
        """Flushes the metrics file to disk; returns its length in bytes."""
        return 0 if self._file is None else self._file.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
        for tracker in self._trackers:
            tracker.close(failed=error is not None)
