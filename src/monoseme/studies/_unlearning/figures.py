"""Figures of unlearning: what each setting forgets against what it keeps."""

from collections.abc import Sequence

import altair as alt

from monoseme.reports.figures import Figure
from monoseme.studies._base import Row

_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


def forgotten_and_kept(rows: Sequence[Row], *, least_retained: float) -> Figure:
    """A dot for each setting of each SAE."""
    names = list(dict.fromkeys(row["subject"] for row in rows))
    columns = ("subject", "side_effect_accuracy", "forget_accuracy", "retain_density", "n_clamped", "multiplier")
    values = [{key: row[key] for key in columns} for row in rows]
    shapes = [_SHAPES[i % len(_SHAPES)] for i in range(len(names))]
    dots = (
        alt.Chart(alt.Data(values=values))
        .mark_point(size=70, filled=True, opacity=0.75)
        .encode(
            x=alt.X("side_effect_accuracy:Q", title="accuracy on what is retained", scale=alt.Scale(domain=[0, 1], padding=8)),
            y=alt.Y("forget_accuracy:Q", title="accuracy on what is to be forgotten", scale=alt.Scale(domain=[0, 1], padding=8)),
            color=alt.Color("subject:N", scale=alt.Scale(domain=names), sort=names, title=None),
            shape=alt.Shape("subject:N", scale=alt.Scale(domain=names, range=shapes), sort=names, title=None),
            tooltip=["subject:N", *(alt.Tooltip(f"{key}:Q", title=key.replace("_", " ")) for key in columns[1:])],
        )
    )
    line = alt.Chart(alt.Data(values=[{"at": least_retained}])).mark_rule(strokeDash=[4, 3], strokeWidth=1).encode(x="at:Q")
    return Figure(
        name="forgotten_and_kept",
        title="What each setting forgets, and what it keeps",
        caption="Each dot is one way of choosing and clamping latents. All questions were right before, so the unedited model is "
        "the upper right corner. Good is low and right of the dashed line; dots that fall along the diagonal break the model "
        "rather than make it forget. The lowest dot right of the line is the score.",
        chart=alt.layer(line, dots),
    )
