"""A score over the number of ablated latents: a panel for each score, a line of dots for each SAE."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from monoseme.reports.figures import Figure

_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_N_COLORS = 8
"""Colours of the theme; with more subjects they come again in another shape."""
_WIDTH, _WIDE, _HEIGHT = 240, 620, 240
_DOT_PIXELS = 5
"""Width of a dot with its bar."""
_LINE_LETTERS, _SYMBOL_LETTERS = 90, 4
"""Letters that a line of the legend has room for in a figure of one panel, and how many a symbol takes."""


class Point(NamedTuple):
    """A score of one subject with n latents ablated."""

    subject: str
    n: int
    panel: str
    """What is measured, its unit included."""
    value: float | None
    low: float | None
    high: float | None


def curves(name: str, points: Sequence[Point], *, title: str, caption: str) -> Figure | None:
    """None where no point has a value. A line at 0 in every panel."""
    found = [point for point in points if point.value is not None]
    if not found:
        return None
    subjects = list(dict.fromkeys(point.subject for point in found))
    panels = list(dict.fromkeys(point.panel for point in found))
    charts = [_panel([p for p in found if p.panel == panel], panel, subjects, wide=len(panels) == 1) for panel in panels]
    chart: Any = alt.concat(*charts, columns=3, spacing=24).resolve_scale(color="shared", shape="shared")
    return Figure(name=name, title=title, caption=caption, chart=charts[0] if len(charts) == 1 else chart, has_own_size=True)


def _panel(points: Sequence[Point], panel: str, subjects: list[str], *, wide: bool) -> alt.LayerChart:
    counts = [str(n) for n in sorted({point.n for point in points})]
    values = [
        {
            "subject": point.subject,
            "n": str(point.n),
            "value": point.value,
            "low": point.value if point.low is None else point.low,
            "high": point.value if point.high is None else point.high,
        }
        for point in points
    ]
    shapes = [_SHAPES[(i // _N_COLORS + i) % len(_SHAPES)] for i in range(len(subjects))]
    is_short = sum(len(subject) + _SYMBOL_LETTERS for subject in subjects) < _LINE_LETTERS
    legend = alt.Legend(columns=len(subjects) if is_short else 4, labelLimit=220, symbolSize=60)
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("n:O", title="latents ablated", sort=counts, axis=alt.Axis(labelAngle=0)),
        color=alt.Color("subject:N", sort=subjects, scale=alt.Scale(domain=subjects), legend=legend),
    )
    y = alt.Y("low:Q", title=panel, scale=alt.Scale(padding=10), axis=alt.Axis(format=".3~f", tickCount=6))
    zero = alt.Chart(alt.Data(values=[{"at": 0}])).mark_rule(strokeDash=[4, 3], strokeWidth=1).encode(y="at:Q")
    beside = alt.XOffset("subject:N", sort=subjects)
    bars = base.mark_rule(strokeWidth=1.2, opacity=0.7).encode(y=y, y2="high:Q", xOffset=beside)
    dots = base.mark_point(size=46, filled=True, opacity=1).encode(
        y="value:Q",
        xOffset=beside,
        shape=alt.Shape("subject:N", sort=subjects, scale=alt.Scale(domain=subjects, range=shapes), legend=legend),
        tooltip=[
            alt.Tooltip("subject:N", title="of"),
            alt.Tooltip("n:O", title="latents ablated"),
            alt.Tooltip("value:Q", format=".3f", title="score"),
        ],
    )
    layered: Any = alt.layer(zero, bars, dots)  # altair says it could become a FacetChart
    return layered.properties(width=_WIDE if wide else max(_WIDTH, _DOT_PIXELS * len(subjects) * len(counts)), height=_HEIGHT)
