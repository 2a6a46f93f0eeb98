"""Figures of steering: what a stronger push brings and costs, and where each latent ends."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from monoseme.reports.figures import Figure
from monoseme.studies._base import Row
from monoseme.studies._steering.arms import PROMPT
from monoseme.studies._steering.outcome import SuccessRule

_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_WIDTH, _HEIGHT = 300, 250


def strength_curves(rows: Sequence[Row], *, unit: str, rule: SuccessRule) -> Figure | None:
    """Medians over latents with their quartiles, from the rows of `curve_rows`; the prompt has no strength and is left out."""
    swept = [row for row in rows if row["way"] != PROMPT]
    if not swept:
        return None
    ways = list(dict.fromkeys(row["way"] for row in swept))
    panels = (
        ("times", "concept's tokens: times likelier", rule.least_times),
        ("perplexity_times", "perplexity: times that of unsteered texts", rule.most_perplexity),
    )
    charts = [_panel(swept, ways, unit=unit, column=column, title=title, bound=bound) for column, title, bound in panels]
    chart: Any = alt.hconcat(*charts, spacing=28).resolve_scale(color="shared", shape="shared")
    return Figure(
        name="strength",
        title="What a stronger push brings, and what it costs",
        caption="Median over latents; bands hold the middle half of them. Steering works where the left panel is above its "
        "dashed line while the right one is below its own. Random directions of the same length show what any push does.",
        chart=chart,
        has_own_size=True,
    )


def _panel(rows: Sequence[Row], ways: list[str], *, unit: str, column: str, title: str, bound: float) -> alt.LayerChart:
    values: list[dict[str, Any]] = []
    for way in ways:
        mine = [row for row in rows if row["way"] == way]
        for strength in sorted({row["strength"] for row in mine}):
            held = [row[column] for row in mine if row["strength"] == strength]
            low, middle, high = np.quantile(held, [0.25, 0.5, 0.75]).tolist()
            values.append({"way": way, "strength": strength, "low": low, "value": middle, "high": high})
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("strength:Q", title=f"strength ({unit}, log)", scale=alt.Scale(type="log", nice=False, padding=8)),
        color=alt.Color("way:N", sort=ways, scale=alt.Scale(domain=ways), legend=alt.Legend(orient="top", columns=4)),
    )
    y = alt.Y("low:Q", title=title, scale=alt.Scale(type="log", nice=False, padding=8), axis=alt.Axis(tickCount=6, format="~g"))
    band = base.mark_area(opacity=0.14).encode(y=y, y2="high:Q")
    shape = alt.Shape(
        "way:N", sort=ways, scale=alt.Scale(domain=ways, range=[_SHAPES[i % len(_SHAPES)] for i in range(len(ways))])
    )
    line = base.mark_line(strokeWidth=1.6).encode(y="value:Q")
    dots = base.mark_point(size=42, filled=True, opacity=1).encode(
        y="value:Q", shape=shape, tooltip=["way:N", "strength:Q", alt.Tooltip("value:Q", format=".3g", title="median")]
    )
    rule = alt.Chart(alt.Data(values=[{"at": bound}])).mark_rule(strokeDash=[4, 3], strokeWidth=1).encode(y="at:Q")
    layered: Any = alt.layer(rule, band, line, dots)
    return layered.properties(width=_WIDTH, height=_HEIGHT)


def where_latents_end(rows: Sequence[Row], *, rule: SuccessRule) -> Figure | None:
    """A dot for each latent and way at the best strength, on the prompts it was not chosen on; from the rows of `latent_rows`."""
    values = [
        {key: row[key] for key in ("subject", "latent", "way", "times", "perplexity_times", "strength")}
        for row in rows
        if row["times"] is not None
    ]
    if not values:
        return None
    ways = list(dict.fromkeys(value["way"] for value in values))
    shapes = [_SHAPES[i % len(_SHAPES)] for i in range(len(ways))]
    log = alt.Scale(type="log", nice=False, padding=8)
    axis = alt.Axis(format="~g", tickCount=6)
    dots = (
        alt.Chart(alt.Data(values=values))
        .mark_point(size=44, filled=True, opacity=0.75)
        .encode(
            x=alt.X("perplexity_times:Q", title="perplexity: times that of unsteered texts (log)", scale=log, axis=axis),
            y=alt.Y("times:Q", title="concept's tokens: times likelier (log)", scale=log, axis=axis),
            color=alt.Color("way:N", sort=ways, scale=alt.Scale(domain=ways), legend=alt.Legend(orient="top", columns=5)),
            shape=alt.Shape("way:N", sort=ways, scale=alt.Scale(domain=ways, range=shapes)),
            tooltip=[
                "subject:N",
                "latent:N",
                "way:N",
                "strength:Q",
                *(alt.Tooltip(f"{name}:Q", format=".3g") for name in ("times", "perplexity_times")),
            ],
        )
    )
    lines = [
        alt.Chart(alt.Data(values=[{"at": at}])).mark_rule(strokeDash=[4, 3], strokeWidth=1).encode(**{channel: "at:Q"})
        for channel, at in (("y", rule.least_times), ("x", rule.most_perplexity))
    ]
    return Figure(
        name="best",
        title="Where each latent ends at its best strength",
        caption="The strength was chosen on half of the prompts, what is shown is of the other half. Good is the upper left: "
        "above the one dashed line, left of the other.",
        chart=alt.layer(*lines, dots),
    )
