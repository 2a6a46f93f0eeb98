"""`SaeCard`: what an SAE is, where it learned, from what, and how good it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monoseme.api._html import framed, heading, pairs, table
from monoseme.api._metric_table import MetricTable

_SHOWN = ("fvu", "l0", "ce_recovered", "dead_fraction", "cosine")
"""Metrics of fidelity that a card shows, of those that were measured."""


@dataclass(frozen=True, kw_only=True)
class SaeCard:
    """An SAE in a table."""

    name: str
    facts: Mapping[str, Any]
    """Architecture, sizes, place, unit of its latents, model, training."""
    settings: Mapping[str, Any]
    """Of the architecture, as far as they are not what they are by default."""
    metrics: MetricTable | None
    """What was measured of it; None where nothing was."""

    def _measured(self) -> MetricTable | None:
        if self.metrics is None:
            return None
        return self.metrics.only(*(name for name in _SHOWN if name in self.metrics.names))

    def __repr__(self) -> str:
        lines = [f"  {name}: {value}" for name, value in self.facts.items() if value is not None]
        lines += [f"  {name} = {value}" for name, value in self.settings.items() if value is not None]
        measured = self._measured()
        return "\n".join([self.name, *lines, *([] if measured is None else [repr(measured)])])

    def _repr_html_(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items()) or None
        measured = self._measured()
        parts = [] if measured is None else [heading("What was measured"), table(measured.rows())]
        note = "" if measured is None else "± is 1.96 standard errors: half of a 95 % interval over documents"
        return framed(self.name, pairs({**self.facts, "settings": settings}), *parts, note=note)
