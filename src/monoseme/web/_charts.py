"""The charts of a run: the report's own figures, and the histogram of one latent, as Vega-Lite specifications."""

from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.evaluation import EvalResult
from monoseme.reports import RunReport, SaeReport, figures_of
from monoseme.reports.figures import DARK, LIGHT, Figure, theme
from monoseme.web import _schema as schema

_TRAINING = "training_"
"""How the names of training curves begin."""


def figures(results: Mapping[str, Sequence[EvalResult]], rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """All figures that the evaluations of a run's SAEs and its training metrics have the data for, by name."""
    saes = tuple(SaeReport(name=name, architecture="", results=tuple(found)) for name, found in results.items())
    return {figure.name: figure for figure in figures_of(RunReport(title="", saes=saes, training=tuple(rows)))}


def listed(found: Mapping[str, Figure]) -> list[schema.Chart]:
    """What the overview says of its charts."""
    return [
        schema.Chart(
            name=name,
            title=figure.title,
            group="training" if name.startswith(_TRAINING) else "measured",
            caption=figure.caption,
        )
        for name, figure in found.items()
    ]


def themes() -> schema.ChartThemes:
    """The configs that go under every specification; the page shows through."""
    return schema.ChartThemes(light=theme(LIGHT, background=False), dark=theme(DARK, background=False))


def histogram(bins: schema.Histogram) -> dict[str, Any]:
    """The activations of one latent; bins are logarithmic, so equal widths on a log axis."""
    pairs = zip(bins.edges[:-1], bins.edges[1:], bins.counts, strict=True)
    values = [{"low": low, "high": high, "n": n} for low, high, n in pairs if n]
    x = {
        "field": "low",
        "type": "quantitative",
        "scale": {"type": "log", "nice": False},
        "title": "activation (log)",
        "axis": {"format": "~g", "tickCount": 5},
    }
    tooltip = [
        {"field": "low", "type": "quantitative", "format": ".3~g", "title": "from"},
        {"field": "high", "type": "quantitative", "format": ".3~g", "title": "below"},
        {"field": "n", "type": "quantitative", "format": ",", "title": "tokens"},
    ]
    encoding = {
        "x": x,
        "x2": {"field": "high"},
        "y": {"field": "n", "type": "quantitative", "title": "tokens", "axis": {"tickCount": 4, "format": "~s"}},
        "y2": {"datum": 0},
        "tooltip": tooltip,
    }
    # Rectangles, because a bar with two ends in x takes y for its place and not its height. They have no fill of their own and
    # so take the page's colour for activations.
    return {"data": {"values": values}, "mark": "rect", "encoding": encoding}
