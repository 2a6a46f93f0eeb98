"""The charts of a run: the report's own figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.evaluation import EvalResult
from monoseme.reports import RunReport, SaeReport, figures_of
from monoseme.reports.figures import DARK, LIGHT, Figure, theme
from monoseme.web.overview.answers import Chart, ChartThemes

_TRAINING = "training_"
"""How the names of training curves begin."""


def figures(results: Mapping[str, Sequence[EvalResult]], rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """All figures that the evaluations of a run's SAEs and its training metrics have the data for, by name."""
    saes = tuple(SaeReport(name=name, architecture="", results=tuple(found)) for name, found in results.items())
    return {figure.name: figure for figure in figures_of(RunReport(title="", saes=saes, training=tuple(rows)))}


def listed(found: Mapping[str, Figure]) -> list[Chart]:
    """What the overview says of its charts."""
    return [
        Chart(
            name=name,
            title=figure.title,
            group="training" if name.startswith(_TRAINING) else "measured",
            caption=figure.caption,
        )
        for name, figure in found.items()
    ]


def themes() -> ChartThemes:
    """The configs that go under every specification; the page shows through."""
    return ChartThemes(light=theme(LIGHT, background=False), dark=theme(DARK, background=False))
