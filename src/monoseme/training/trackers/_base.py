"""What a tracker is: a subscriber to the rows of a run. `metrics.jsonl` stays the record; a tracker only shows it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_NO_SERIES = {"step", "sae", "event"}


class Scalar(NamedTuple):
    """One number of a row, named for a chart."""

    name: str
    """`<sae>/<number>`, or `<sae>/validation/<number>`."""
    value: float


class Tracker(ABC):
    """A subscriber to the rows of one run."""

    @abstractmethod
    def __init__(self, *, folder: Path, facts: Mapping[str, Any]) -> None:
        """`folder` is the run's training folder, `facts` its resolved configuration. Raises ExtraMissingError."""

    @abstractmethod
    def log(self, row: Mapping[str, Any]) -> None:
        """Takes one row of `metrics.jsonl`. After a resume, rows since the last checkpoint come again."""

    @abstractmethod
    def close(self, *, failed: bool) -> None:
        """The run ended; `failed` if by an error or an interruption."""


def scalars(row: Mapping[str, Any]) -> Iterator[Scalar]:
    """The finite numbers of a row, named for charts; texts and missing numbers are left out."""
    kind = f"{row['event']}/" if "event" in row else ""
    for key, value in row.items():
        if key not in _NO_SERIES and isinstance(value, int | float):
            yield Scalar(f"{row['sae']}/{kind}{key}", float(value))
