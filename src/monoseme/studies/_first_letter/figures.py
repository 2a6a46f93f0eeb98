"""Figures that studies of letters share: a measure against L0, and calibration."""

from collections.abc import Sequence

import altair as alt

from monoseme.reports.figures import Figure
from monoseme.studies._base import Row

_MOST_COLOURS = 8
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")


def against_l0(name: str, rows: Sequence[Row], column: str, *, title: str, y_title: str, caption: str) -> Figure | None:
    """A dot with its interval for each SAE: `column`, `column`_low, `column`_high over `sae_l0`.

    None with fewer than two SAEs that have a value. Colour and shape tell SAEs apart, of more than eight their architectures.
    """
    held = [row for row in rows if row[column] is not None]
    if len(held) < 2:
        return None
    by = "sae" if len({row["sae"] for row in held}) <= _MOST_COLOURS else "architecture"
    order = list(dict.fromkeys(row[by] for row in held))
    values = [
        {"of": row[by], "sae": row["sae"], "width": row["sae_width"], "l0": row["sae_l0"], "value": row[column]}
        | {end: row[column] if row[f"{column}_{end}"] is None else row[f"{column}_{end}"] for end in ("low", "high")}
        for row in held
    ]
    legend = alt.Legend(columns=2, labelLimit=260, symbolSize=80)
    shapes = [_SHAPES[i % len(_SHAPES)] for i in range(len(order))]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X(
            "l0:Q",
            title="L0: latents active at a word (logarithmic)",
            scale=alt.Scale(type="log", padding=24, nice=False),
            axis=alt.Axis(format="~g", tickCount=6),
        ),
        color=alt.Color("of:N", sort=order, scale=alt.Scale(domain=order), legend=legend),
    )
    y = alt.Y("low:Q", title=y_title, scale=alt.Scale(zero=False, padding=14), axis=alt.Axis(format="~g", tickCount=6))
    bars = base.mark_rule(strokeWidth=2, style="estimate").encode(y=y, y2="high:Q")
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        y="value:Q",
        shape=alt.Shape("of:N", sort=order, scale=alt.Scale(domain=order, range=shapes), legend=legend),
        tooltip=[
            alt.Tooltip("sae:N", title="SAE"),
            alt.Tooltip("width:Q", title="latents", format=","),
            alt.Tooltip("l0:Q", title="L0", format=".3g"),
            alt.Tooltip("value:Q", title=y_title, format=".3f"),
        ],
    )
    return Figure(name=name, title=title, caption=caption, chart=alt.layer(bars, dots))


def reliability_figure(rows: Sequence[Row]) -> Figure | None:
    """How often what a probe says with some probability comes true; a line for each site, the diagonal is right."""
    values = [row for row in rows if row["n"]]
    if not values:
        return None
    sites = list(dict.fromkeys(row["site"] for row in values))
    unit = alt.Scale(domain=[0, 1])
    diagonal = (
        alt.Chart(alt.Data(values=[{"x": 0, "y": 0, "x2": 1, "y2": 1}]))
        .mark_rule(strokeDash=[4, 3], strokeWidth=1)
        .encode(x="x:Q", y="y:Q", x2="x2:Q", y2="y2:Q")
    )
    legend = alt.Legend() if len(sites) > 1 else None
    lines = (
        alt.Chart(alt.Data(values=values))
        .mark_line(strokeWidth=2, point={"size": 60})
        .encode(
            x=alt.X("mean_probability:Q", title="probability that the probe gives", scale=unit),
            y=alt.Y("share_positive:Q", title="share that has the letter", scale=unit),
            color=alt.Color("site:N", sort=sites, scale=alt.Scale(domain=sites), legend=legend),
            tooltip=[
                "site:N",
                alt.Tooltip("mean_probability:Q", format=".3f"),
                alt.Tooltip("share_positive:Q", format=".3f"),
                "n:Q",
            ],
        )
    )
    return Figure(
        name="reliability",
        title="Are the probe's probabilities true?",
        caption="Test words and letters by the probability that the probe of the activations gives, in ten bins. On the dashed "
        "line the probabilities come true; below it the probe is too sure. The first bin holds most of them.",
        chart=alt.layer(diagonal, lines),
    )
