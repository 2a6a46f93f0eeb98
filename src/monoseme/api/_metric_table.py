"""`MetricTable`: what was measured on several SAEs, side by side, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from monoseme.api._html import framed, table
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.core.intervals import Z_95
from monoseme.reports.plain_tables import aligned_table

if TYPE_CHECKING:
    from monoseme.evaluation import Metric


class Interval(NamedTuple):
    """95 % of a metric over documents, by a normal approximation: the value and 1.96 standard errors to either side."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class MetricTable:
    """Metrics of several subjects: a row for each metric, a column for each subject."""

    metrics: "Mapping[str, Sequence[Metric]]"
    """Subject (an SAE, or a part of its codes) -> what was measured on it."""
    title: str = "Metrics"

    @property
    def subjects(self) -> tuple[str, ...]:
        """What was measured."""
        return tuple(self.metrics)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names, in the order in which they were measured."""
        return tuple(dict.fromkeys(metric.name for found in self.metrics.values() for metric in found))

    def metric(self, subject: str, name: str) -> "Metric":
        """One metric, with its definition. Raises ConfigError with what there is."""
        if subject not in self.metrics:
            raise ConfigError(
                f'nothing was measured on "{subject}".{suggest(subject, self.subjects)}\n  Allowed: {self.subjects}'
            )
        for found in self.metrics[subject]:
            if found.name == name:
                return found
        raise ConfigError(f'{subject} has no metric "{name}".{suggest(name, self.names)}')

    def value(self, subject: str, name: str) -> float | None:
        """The number; None where there is none (`metric` tells why)."""
        return self.metric(subject, name).value

    def interval(self, subject: str, name: str) -> Interval | None:
        """Between which values 95 % lies; None where no error is known."""
        found = self.metric(subject, name)
        if found.value is None or found.standard_error is None:
            return None
        return Interval(found.value - Z_95 * found.standard_error, found.value + Z_95 * found.standard_error)

    def only(self, *names: str) -> "MetricTable":
        """The same with these metrics alone, in this order. Raises ConfigError for one that no subject has."""
        for name in names:
            if name not in self.names:
                raise ConfigError(f'there is no metric "{name}".{suggest(name, self.names)}')
        kept = {
            subject: [metric for name in names for metric in found if metric.name == name]
            for subject, found in self.metrics.items()
        }
        return MetricTable(metrics=kept, title=self.title)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each metric: its name, unit and direction, and a cell `value ± half the interval` for each subject."""
        return [self._row(name) for name in self.names]

    def _row(self, name: str) -> dict[str, Any]:
        found = {subject: next((m for m in metrics if m.name == name), None) for subject, metrics in self.metrics.items()}
        first = next(metric for metric in found.values() if metric is not None)
        better = "" if first.better == "neither" else first.better
        return {"metric": name, **{s: _told(m) for s, m in found.items()}, "unit": first.unit, "better": better}

    def __repr__(self) -> str:
        return f"{self.title} (± is 1.96 standard errors)\n{aligned_table(self.rows())}"

    def _repr_html_(self) -> str:
        return framed(self.title, table(self.rows()), note="± is 1.96 standard errors: half of a 95 % interval over documents")


def _told(metric: "Metric | None") -> str:
    if metric is None:
        return "–"
    if metric.value is None:
        return "missing"
    spread = "" if metric.standard_error is None else f" ± {Z_95 * metric.standard_error:.2g}"
    return f"{metric.value:.4g}{spread}"
