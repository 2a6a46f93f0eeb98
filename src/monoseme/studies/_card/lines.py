"""A card is made of lines: one number of every SAE and every control, with its interval and what it says.

A measure gives typed metrics, of which the card shows those that it picked. They are kept as JSON under the study's `work`; a
resume goes on with the next measure.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.files import read_json, write_json
from monoseme.core.intervals import Z_95
from monoseme.evaluation import Better, Metric, metrics_from_json, metrics_to_json
from monoseme.studies._kept_files import reading

_ROUNDING = 1e-9
"""Below it a number is 0."""


class Value(NamedTuple):
    """One number of one dictionary."""

    value: float | None
    low: float | None = None
    high: float | None = None
    """Ends of its 95 % interval; None where there is none."""
    why_missing: str | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        if self.low is None or self.high is None:
            return _short(self.value)
        half = max(self.high - self.value, self.value - self.low)  # an end may be cut
        return f"{_short(self.value)}{_half(self.value, half)}"


class Line(NamedTuple):
    """One row of the card."""

    key: str
    """The metric's name."""
    label: str
    better: Better
    says: str
    """What the number means, in a sentence."""
    values: Mapping[str, Value]
    """By SAE or control."""


class Pick(NamedTuple):
    """A metric that the card shows."""

    key: str
    label: str
    says: str


class Filled(NamedTuple):
    """What a measure gives the card."""

    metrics: Mapping[str, Sequence[Metric]] = {}
    """SAE or control -> what was measured of it."""
    notes: Sequence[str] = ()
    """Sentences that the reader must know to read its lines."""
    files: Mapping[str, str] = {}
    """Name -> text of files for other programs."""


def lines_of(picks: Sequence[Pick], metrics: Mapping[str, Sequence[Metric]]) -> list[Line]:
    """A line for each picked metric that any dictionary has, in the order of the picks."""
    made: list[Line] = []
    for pick in picks:
        found = {name: metric for name, held in metrics.items() for metric in held if metric.name == pick.key}
        if found:
            better = next(iter(found.values())).better
            made.append(Line(pick.key, pick.label, better, pick.says, {name: value_of(metric) for name, metric in found.items()}))
    return made


def value_of(metric: Metric) -> Value:
    """The metric with the interval that its standard error gives; ends of fractions stay within [0, 1] where the value is."""
    if metric.value is None:
        return Value(None, why_missing=metric.why_missing)
    if metric.standard_error is None:
        return Value(metric.value)
    low, high = metric.value - Z_95 * metric.standard_error, metric.value + Z_95 * metric.standard_error
    if metric.unit == "fraction" and 0.0 <= metric.value <= 1.0:
        low, high = max(low, 0.0), min(high, 1.0)
    return Value(metric.value, low, high)


def write_filled(file: Path, filled: Filled) -> None:
    """Keeps it, the dictionaries in their order. Raises DiskFullError."""
    metrics = [[name, metrics_to_json(tuple(held))] for name, held in filled.metrics.items()]
    write_json(file, {"metrics": metrics, "notes": list(filled.notes), "files": dict(filled.files)})


def read_filled(file: Path) -> Filled:
    """What `write_filled` wrote. Raises ArtifactDamagedError."""
    with reading(file):
        kept: dict[str, Any] = read_json(file)
        metrics = {name: metrics_from_json(rows) for name, rows in kept["metrics"]}
        return Filled(metrics, kept["notes"], kept["files"])


def texts_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Those of a study's files that are JSON."""
    return {name: data.decode() for name, data in files.items() if name.endswith(".json")}


def _half(value: float, half: float) -> str:
    """Half of the interval, with as many digits after the point as the value has; nothing where it has no width."""
    if half < _ROUNDING:
        return ""
    least = 10.0 ** -_digits(value)
    return f" ± {half:,.{_digits(value)}f}" if half >= least / 2 else f" ± <{least:.{_digits(value)}f}"


def _short(value: float) -> str:
    """Three digits after the point of fractions, three in all of what is larger; what is rounding is 0."""
    if _ROUNDING < abs(value) < 0.0001:
        return f"{value:.0e}"
    return f"{value if abs(value) > _ROUNDING else 0.0:,.{_digits(value)}f}"


def _digits(value: float) -> int:
    """After the point."""
    if abs(value) < 1:
        return 4 if 0.0001 <= abs(value) < 0.001 else 3
    return max(0, 2 - math.floor(math.log10(abs(value))))
