"""Maps as points: panels side by side under one legend, told apart by colour and shape."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
from numpy.typing import NDArray

from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._base import Row

_PANEL, _COLUMNS = 270, 3
_N_COLORS = 8
"""Of the theme."""
_SHAPES = ("circle", "square", "triangle-up", "diamond")
_MOST_IN_LEGEND = 10
_REST = "others"
_INK = 9000.0
"""Pixels that the points of a panel cover together, so that many do not hide each other."""
_LEAST_SIZE, _MOST_SIZE = 7.0, 60.0


class Panel(NamedTuple):
    """One map."""

    title: str
    points: NDArray[np.float64]
    """[M, 2]"""
    row: NDArray[np.int64]
    """[M] row of each point in what all panels share."""


def class_map(
    name: str, panels: Sequence[Panel], labels: Sequence[str | None], facts: Sequence[Row], *, title: str, caption: str
) -> Figure:
    """Points by class; classes beyond the ten largest, and points without a class, are small and faint.

    `labels` and `facts` (columns for the tooltip) are by row.
    """
    named = [label for label, _ in Counter(label for label in labels if label is not None).most_common()]
    shown = sorted(named[:_MOST_IN_LEGEND])
    classes = [label if label in shown else _REST for label in labels]
    shapes = [_SHAPES[(i + i // _N_COLORS) % len(_SHAPES)] for i in range(len(shown))]
    color = alt.Color("shown_as:N", scale=alt.Scale(domain=shown), legend=_legend(shown))
    shape = alt.Shape("shown_as:N", scale=alt.Scale(domain=shown, range=shapes), legend=_legend(shown))
    charts: list[Any] = []
    data = _Data(facts)
    for panel in panels:
        values = [_point(panel, i) | {"shown_as": classes[row]} for i, row in enumerate(panel.row)]
        base = data.base(values)
        rest = base.transform_filter(f"datum.shown_as === '{_REST}'").mark_circle(size=6, opacity=0.22, color="#8a8378")
        known = base.transform_filter(f"datum.shown_as !== '{_REST}'").mark_point(
            filled=True, opacity=_opacity(len(values)), size=_size(len(values)), strokeWidth=0
        )
        charts.append(_titled(alt.layer(rest, known.encode(color=color, shape=shape)), panel.title))
    return _figure(name, charts, data, title=title, caption=caption)


def shaded_map(
    name: str,
    panels: Sequence[Panel],
    values: Sequence[float | None],
    facts: Sequence[Row],
    *,
    title: str,
    caption: str,
    measure: str,
    is_log: bool = False,
) -> Figure:
    """Points shaded by a number; those without one are small and faint."""
    known = [value for value in values if value is not None]
    scale = alt.Scale(type="log" if is_log else "linear", range="heatmap", domain=[min(known), max(known)], nice=False)
    legend = alt.Legend(title=measure, gradientLength=220, gradientThickness=10, format="~g", tickCount=4, direction="horizontal")
    charts: list[Any] = []
    data = _Data(facts)
    for panel in panels:
        points = [_point(panel, i) | {"shade": values[row]} for i, row in enumerate(panel.row)]
        base = data.base(points)
        rest = base.transform_filter("datum.shade === null").mark_circle(size=6, opacity=0.25, color="#8a8378")
        shaded = base.transform_filter("datum.shade !== null").mark_circle(
            opacity=0.95, size=_size(len(points)), stroke="#8a8378", strokeWidth=0.25
        )
        color = alt.Color("shade:Q", scale=scale, legend=legend)
        charts.append(_titled(alt.layer(rest, shaded.encode(color=color)), panel.title))
    return _figure(name, charts, data, title=title, caption=caption)


def _point(panel: Panel, i: int) -> Row:
    x, y = panel.points[i]
    return {"x": round(float(x), 3), "y": round(float(y), 3), "row": int(panel.row[i])}


class _Data:
    """The rows of a figure, named in its charts and given once: altair copies what charts hold again with each step."""

    def __init__(self, facts: Sequence[Row]) -> None:
        self.rows: dict[str, list[Row]] = {"facts": list(facts)}
        self._fields = [key for key in facts[0] if key != "row"]

    def base(self, values: Sequence[Row]) -> alt.Chart:
        """Points without axes, whose lengths mean nothing; what is known of each is looked up, so that panels share it."""
        name = f"points_{len(self.rows)}"
        self.rows[name] = list(values)
        axis: Any = None
        # The domains are said: Vega warns where it has to find that of a layer without points.
        x, y = (
            alt.Scale(nice=False, zero=False, padding=8, domain=[min(at), max(at)] if at else alt.Undefined)
            for at in ([value[field] for value in values] for field in ("x", "y"))
        )
        return (
            alt.Chart(alt.NamedData(name))
            .transform_lookup("row", from_=alt.LookupData(alt.NamedData("facts"), "row", self._fields))
            .encode(
                x=alt.X("x:Q", axis=axis, scale=x),
                y=alt.Y("y:Q", axis=axis, scale=y),
                tooltip=[alt.Tooltip(f"{field}:N") for field in self._fields],
            )
        )


def _titled(chart: Any, title: str) -> Any:
    """A frame of its own tone around the panel, as there are no axes."""
    lines = title.split("\n")
    words = alt.Title(lines[0], subtitle=lines[1:], fontSize=12, subtitleFontSize=10.5, offset=4, anchor="start")
    return chart.properties(
        width=_PANEL, height=_PANEL, title=words, view=alt.ViewBackground(stroke="#8a8378", strokeOpacity=0.4)
    )


def _legend(shown: Sequence[str]) -> alt.Legend | None:
    return alt.Legend(columns=5, symbolOpacity=1, labelLimit=150, symbolStrokeWidth=0) if len(shown) > 1 else None


def _size(n: int) -> float:
    return min(max(_INK / max(n, 1), _LEAST_SIZE), _MOST_SIZE)


def _opacity(n: int) -> float:
    return 0.85 if n <= 400 else 0.65


def _figure(name: str, charts: Sequence[Any], data: _Data, *, title: str, caption: str) -> Figure:
    chart: Any = alt.concat(*charts, columns=min(_COLUMNS, len(charts)), spacing=18)
    chart = chart.resolve_scale(color="shared", shape="shared", x="independent", y="independent")
    chart.datasets = data.rows
    return Figure(name=name, title=title, caption=caption, chart=chart, has_own_size=True)


def quality(rows: Sequence[Row], spaces: Mapping[str, str]) -> Figure:
    """A dot for each subject, space, label and measure, beside what shuffled labels give."""
    words = {"silhouette": "silhouette", "purity": "purity of neighbours"}
    estimates: list[Estimate] = []
    for row in rows:
        panel = f"{words[row['measure']]} by {row['label']}"
        group = spaces[row["space"]]
        estimates.append(Estimate(row["subject"], row["value"], row["low"], row["high"], panel=panel, group=group))
        if row["space"] == "codes":
            ends = (row["shuffled"], row["shuffled_low"], row["shuffled_high"])
            estimates.append(Estimate(row["subject"], *ends, panel=panel, group="codes, labels shuffled"))
    return interval_dots(
        "quality",
        estimates,
        title="How well labels show, in the codes and on the maps",
        caption="Bars: 95 % intervals over the sources of the text; of shuffled labels, the range of 95 % of the shuffles. Only "
        "what the codes show is a fact about the SAE: a map may pull groups apart or mix them.",
    )
