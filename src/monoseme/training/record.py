"""Where the rows of a run go: always `metrics.jsonl`, and the trackers asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from monoseme.training.metrics import MetricsFile
from monoseme.training.trackers import Tracker, open_tracker


class Record:
    """The metrics file and its subscribers, as one place to write to; a context that closes them."""

    def __init__(self, path: Path, *, keep_bytes: int, trackers: Sequence[str], facts: Mapping[str, Any]) -> None:
        """`facts` (the resolved configuration) go to the trackers. Raises ExtraMissingError, ResumeError."""
        # The file last: it is open only if nothing else failed.
        self._trackers: list[Tracker] = [open_tracker(name, folder=path.parent, facts=facts) for name in trackers]
        self._file = MetricsFile(path, keep_bytes=keep_bytes)

    def write(self, row: Mapping[str, Any]) -> None:
        """One row, to all."""
        self._file.write(row)
        for tracker in self._trackers:
            tracker.log(row)

    def sync(self) -> int:
        """Flushes the metrics file to disk; returns its length in bytes."""
        return self._file.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close(failed=error is not None)
