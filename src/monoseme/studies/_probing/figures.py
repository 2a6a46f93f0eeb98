"""Figures of the probing study: accuracy by task, accuracy over the number of features, and what is mistaken for what."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from monoseme.reports.figures import Cell, Estimate, Figure, HeatScale, heat_map, interval_dots
from monoseme.studies._base import Row
from monoseme.studies._probing.scores import Scored

_MOST_CLASSES = 20
"""Beyond that, a confusion matrix is a picture that nobody reads; its table is there anyway."""
_PANEL_WIDTH, _PANEL_HEIGHT = 300, 250
_DOT_PIXELS = 11
"""Width of a dot with its bar, so that many rivals stand side by side without touching."""
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_N_COLORS = 8
"""Colours of the theme; with more rivals they come again in another shape."""


def accuracy_by_task(scored: Sequence[Scored]) -> Figure:
    """Every rival as a row, every task as a panel."""
    rows = [each.row for each in scored]
    return interval_dots(
        "accuracy_by_task",
        [
            Estimate(
                row=row["subject"],
                value=row["accuracy"],
                low=row["accuracy_low"],
                high=row["accuracy_high"],
                panel=f"{row['task']}: accuracy",
            )
            for row in rows
        ],
        title="What linear probes read from codes and from their rivals",
        caption="Accuracy on documents that the probe has not seen (context: on stretches of them). Bars are 95 % intervals "
        "over sources and seeds. SAEs come first, baselines below them; the last row is what a probe without features says.",
        columns=3,
    )


def accuracy_by_features(scored: Sequence[Scored]) -> Figure | None:
    """A dot for each rival whose features are selected, at each number of them; None where there is one number only."""
    tasks = [task for task in dict.fromkeys(each.task for each in scored) if len(_numbers(scored, task)) > 1]
    if not tasks:
        return None
    names = list(dict.fromkeys(each.rival for each in scored if each.per_class is not None))
    charts = [_curves(scored, task, names) for task in tasks]
    return Figure(
        name="accuracy_by_features",
        title="Accuracy by the number of features",
        caption="Probes see only the features of each class whose mean there is largest against the rest; on the axis, how many "
        "of each class. A rival that starts high has a single feature for a class. Bars are 95 % intervals.",
        chart=alt.concat(*charts, columns=2 if len(names) < _N_COLORS else 1, spacing=28).resolve_scale(
            color="shared", shape="shared"
        ),
        has_own_size=True,
    )


def confusion_map(rows: Sequence[Row], name: str) -> Figure | None:
    """Shares of each class told to be of each class; None with too many classes to read."""
    classes = list(dict.fromkeys(row["class"] for row in rows))
    if not 1 < len(classes) <= _MOST_CLASSES:
        return None
    task, subject = rows[0]["task"], rows[0]["subject"]
    return heat_map(
        f"confusion_{name}",
        [Cell(row["class"], row["told"], row["share"], f"{row['n']} tokens") for row in rows],
        title=f"{task.capitalize()} read from {subject}: what is taken for what",
        caption=f"Of the test tokens of each class (rows), the share that the probe of {subject} takes for each class (columns); "
        "each row adds up to 1, and the diagonal is right.",
        scale=HeatScale(title="share of the class", low=0.0, high=1.0),
        axes=("told", "class"),
    )


def _numbers(scored: Sequence[Scored], task: str) -> set[int]:
    return {each.per_class for each in scored if each.task == task and each.per_class is not None}


def _curves(scored: Sequence[Scored], task: str, names: list[str]) -> alt.LayerChart:
    rows = [each.row for each in scored if each.task == task and each.per_class is not None]
    values = [
        {
            "subject": row["subject"],
            "n": str(row["per_class"]),
            "accuracy": row["accuracy"],
            "low": row["accuracy_low"],
            "high": row["accuracy_high"],
        }
        for row in rows
    ]
    counts = [str(n) for n in sorted(_numbers(scored, task))]
    shapes = [_SHAPES[i // _N_COLORS % len(_SHAPES)] for i in range(len(names))]
    legend = alt.Legend(columns=4, labelLimit=220, symbolSize=60)
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("n:O", title="features of each class", sort=counts, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("subject:N", sort=names),
        color=alt.Color("subject:N", sort=names, scale=alt.Scale(domain=names), legend=legend),
    )
    y = alt.Y(
        "low:Q", title=f"{task}: accuracy", scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(format="~g", tickCount=6)
    )
    bars = base.mark_rule(strokeWidth=1.2, opacity=0.7).encode(y=y, y2="high:Q")
    dots = base.mark_point(size=46, filled=True, opacity=1).encode(
        y="accuracy:Q",
        shape=alt.Shape("subject:N", sort=names, scale=alt.Scale(domain=names, range=shapes), legend=legend),
        tooltip=[
            alt.Tooltip("subject:N", title="of"),
            alt.Tooltip("n:O", title="features of each class"),
            alt.Tooltip("accuracy:Q", format=".3f", title="accuracy"),
        ],
    )
    layered: Any = alt.layer(bars, dots)  # altair says it could become a FacetChart
    return layered.properties(width=max(_PANEL_WIDTH, _DOT_PIXELS * len(names) * len(counts)), height=_PANEL_HEIGHT)
