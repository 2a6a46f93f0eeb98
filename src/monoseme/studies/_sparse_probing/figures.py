"""Figures of sparse probing: accuracy over the number of features, and every representation beside the others."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._base import Row
from monoseme.studies._sparse_probing.measure import FULL

_WIDTH, _HEIGHT = 300, 250
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_N_COLORS = 8
"""Colours of the theme; with more subjects they come again in another shape."""
_SHOWN = 3
"""Numbers of features in the figure of intervals, so that rows stay apart."""


def accuracies(rows: Sequence[Row]) -> Figure:
    """Every representation as a row, every data set as a panel; one feature, some, and all of them."""
    few = sorted({row["features"] for row in rows if row["features"] != FULL}, key=int)
    kept = [few[0], few[len(few) // 2], FULL] if len(few) >= _SHOWN else [*few, FULL]
    return interval_dots(
        "accuracies",
        [
            Estimate(
                row=row["subject"],
                value=row["accuracy"],
                low=row["accuracy_low"],
                high=row["accuracy_high"],
                panel=f"{row['dataset']}: accuracy",
                group=_called(row["features"]),
            )
            for name in kept
            for row in rows
            if row["features"] == name
        ],
        title="What probes of few and of all features tell",
        caption="Test accuracy of one class against as many texts of the others, mean over classes; 0.5 is guessing. SAEs come "
        "first, what they are held against below them. Bars are 95 % intervals over sources and seeds.",
    )


def by_features(rows: Sequence[Row]) -> Figure | None:
    """A line for each representation over the number of features; None where there is one number only."""
    rows = [row for row in rows if row["features"] != FULL]
    counts = sorted({row["features"] for row in rows}, key=int)
    if len(counts) < 2:
        return None
    names = list(dict.fromkeys(row["subject"] for row in rows))
    panels = list(dict.fromkeys(row["dataset"] for row in rows))
    charts = [_lines([row for row in rows if row["dataset"] == panel], panel, names, counts) for panel in panels]
    chart: Any = alt.concat(*charts, columns=2, spacing=28).resolve_scale(color="shared", shape="shared")
    return Figure(
        name="accuracy_by_features",
        title="Accuracy by the number of features",
        caption="Features are those whose mean differs most, in standard deviations, between the class and the others. A line "
        "that starts high has a single feature for a class; one that rises needs several. 0.5 is guessing.",
        chart=chart if len(charts) > 1 else charts[0],
        has_own_size=True,
    )


def _called(features: str) -> str:
    return "all features" if features == FULL else "1 feature" if features == "1" else f"{features} features"


def _lines(rows: Sequence[Row], panel: str, names: list[str], counts: list[str]) -> alt.LayerChart:
    values = [{key: row[key] for key in ("subject", "features", "accuracy", "accuracy_low", "accuracy_high")} for row in rows]
    shapes = [_SHAPES[(i // _N_COLORS + i) % len(_SHAPES)] for i in range(len(names))]
    legend = alt.Legend(columns=4, labelLimit=220, symbolSize=60)
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("features:O", title="features", sort=counts, axis=alt.Axis(labelAngle=0)),
        y=alt.Y(
            "accuracy:Q",
            title=f"{panel}: accuracy",
            scale=alt.Scale(zero=False, nice=False, padding=12),
            axis=alt.Axis(format=".2~f"),
        ),
        color=alt.Color("subject:N", sort=names, scale=alt.Scale(domain=names), legend=legend),
    )
    dots = base.mark_point(size=50, filled=True, opacity=1).encode(
        shape=alt.Shape("subject:N", sort=names, scale=alt.Scale(domain=names, range=shapes), legend=legend),
        tooltip=[
            alt.Tooltip("subject:N", title="of"),
            alt.Tooltip("features:O", title="features"),
            alt.Tooltip("accuracy:Q", format=".3f"),
            alt.Tooltip("accuracy_low:Q", format=".3f", title="low"),
            alt.Tooltip("accuracy_high:Q", format=".3f", title="high"),
        ],
    )
    layered: Any = alt.layer(base.mark_line(strokeWidth=1.5, opacity=0.8), dots)  # altair says it could become a FacetChart
    return layered.properties(width=_WIDTH, height=_HEIGHT)
