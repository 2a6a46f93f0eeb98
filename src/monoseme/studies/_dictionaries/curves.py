"""Figures of several dictionaries: MMCS, shares of latents that are matched, and how latents divide as the dictionary grows."""

from collections.abc import Mapping, Sequence

import altair as alt

from monoseme.core.intervals import Z_95
from monoseme.evaluation import Spread
from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._base import Row
from monoseme.studies._dictionaries.splits import MOST_COUNTED

_WIDTH, _HEIGHT = 330, 230
_AXIS_OF = {"cosine": "at least this cosine", "correlation": "at least this correlation"}


def mmcs_dots(within: Mapping[str, Spread], between: Sequence[Row]) -> Figure:
    """MMCS of each dictionary with itself, and of each with each other one."""
    own = [_estimate(name, found.mean, found.sem, "with itself") for name, found in within.items()]
    others = [_estimate(f"{row['a']} → {row['b']}", row["mmcs"], row["mmcs_sem"], "with another") for row in between]
    return interval_dots(
        "mmcs",
        [*own, *others],
        title="Mean largest cosine (MMCS)",
        caption="Mean over latents of the largest cosine with another latent of the same dictionary, and with those of another. "
        "Bars: 95 % over latents. Low with itself: no latent is there twice. High with another: both found the same.",
        columns=1,
    )


def _estimate(name: str, mean: float | None, sem: float | None, panel: str) -> Estimate:
    if mean is None or sem is None:
        return Estimate(name, mean, panel=panel)
    return Estimate(name, mean, mean - Z_95 * sem, mean + Z_95 * sem, panel=panel)


def seed_curves(rows: Sequence[Row]) -> Figure:
    """Of SAEs that differ in their seed, from the table `universality_curve`."""
    return _curves(
        rows,
        name="universality",
        title="How many latents come back with another seed",
        caption="Share of latents with so similar a partner in one other SAE (mean over pairs of seeds), in every other, in any. "
        "Bands are 95 % intervals over pairs of seeds, or over SAEs; dashed is what chance would match.",
    )


def pair_curves(rows: Sequence[Row]) -> Figure:
    """Of pairs of SAEs of any kind, from `pair_curve_rows`."""
    return _curves(
        rows,
        name="partners",
        title="How many latents have a partner",
        caption="Share of a dictionary's latents with so similar a partner in the other, by direction and by what fires. Dashed "
        "is what chance would match.",
    )


def _curves(rows: Sequence[Row], *, name: str, title: str, caption: str) -> Figure:
    """Shares of matched latents over thresholds: a row of panels for each family, a panel for each criterion.

    Rows have `family`, `criterion`, `matched_in`, `threshold`, `share`, `low` and `high`.
    """
    families = list(dict.fromkeys(row["family"] for row in rows))
    criteria = list(dict.fromkeys(row["criterion"] for row in rows))
    lines = list(dict.fromkeys(row["matched_in"] for row in rows))
    charts = [
        _curve([row for row in rows if (row["family"], row["criterion"]) == (family, criterion)], lines, family, criterion)
        for family in families
        for criterion in criteria
    ]
    chart = alt.concat(*charts, columns=len(criteria), spacing=28).resolve_scale(color="shared", strokeDash="shared")
    return Figure(name=name, title=title, caption=caption, chart=chart, has_own_size=True)


def _curve(rows: Sequence[Row], lines: Sequence[str], family: str, criterion: str) -> alt.LayerChart | alt.FacetChart:
    columns = ("matched_in", "threshold", "share", "low", "high")
    values = [{column: row[column] for column in columns} for row in rows]
    dashes = [[5, 3] if "chance" in line else [1, 0] for line in lines]
    legend = alt.Legend(symbolType="stroke", symbolStrokeWidth=2.4, columns=4)
    color = alt.Color("matched_in:N", scale=alt.Scale(domain=list(lines)), sort=list(lines), legend=legend)
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("threshold:Q", title=f"partner with {_AXIS_OF[criterion]}", scale=alt.Scale(domain=[0, 1])), color=color
    )
    share = alt.Y("share:Q", title="share of latents", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="~%", tickCount=5))
    drawn = base.mark_line(strokeWidth=2).encode(
        y=share,
        strokeDash=alt.StrokeDash(
            "matched_in:N", scale=alt.Scale(domain=list(lines), range=dashes), sort=list(lines), legend=legend
        ),
        tooltip=["matched_in:N", alt.Tooltip("threshold:Q"), alt.Tooltip("share:Q", format=".1%")],
    )
    band = (
        base.transform_filter("isValid(datum.low)")
        .mark_area(opacity=0.18)
        .encode(y=alt.Y("low:Q", title="share of latents"), y2="high:Q")
    )
    title = alt.Title(family, fontSize=12, fontWeight="normal") if family else alt.Undefined
    return alt.layer(band, drawn).properties(width=_WIDTH, height=_HEIGHT, title=title)


def children_bars(rows: Sequence[Row]) -> Figure:
    """How many children the latents of the narrower SAE have in the wider one, a bar for each step."""
    steps = list(dict.fromkeys(row["step"] for row in rows))
    counts = [*(str(n) for n in range(MOST_COUNTED)), f"{MOST_COUNTED}+"]
    values = [row | {"order": counts.index(row["children"])} for row in rows]
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_bar(height={"band": 0.7})
        .encode(
            y=alt.Y("step:N", title=None, sort=steps, axis=alt.Axis(labelLimit=260, grid=False)),
            x=alt.X(
                "share:Q", title="share of the narrower SAE's latents", axis=alt.Axis(format="~%"), scale=alt.Scale(domain=[0, 1])
            ),
            color=alt.Color(
                "children:O",
                sort=counts,
                scale=alt.Scale(domain=counts, range="ramp"),
                legend=alt.Legend(title="children", symbolType="square", columns=len(counts)),
            ),
            order="order:Q",
            tooltip=["step:N", "children:N", alt.Tooltip("n_parents:Q", format=","), alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=460, height=alt.Step(30))
    )
    return Figure(
        name="children",
        title="What becomes of latents in a wider dictionary",
        caption="Latents of the narrower SAE by how many latents of the wider one are nearest to them. One child: the latent "
        "stayed; two or more: it split; none: no latent of the wider one is like it.",
        chart=chart,
        has_own_size=True,
    )


def growth_dots(rows: Sequence[Row]) -> Figure:
    """Shares of new latents, and how surely a parent fires with its child, for each step."""
    estimates: list[Estimate] = []
    for row in rows:
        name = f"{row['parents']} → {row['children']}"
        estimates.append(Estimate(name, row["new_share"], row["new_low"], row["new_high"], panel="share of new latents"))
        told = [row[f"parent_fires_with_child{end}"] for end in ("", "_low", "_high")]
        estimates.append(Estimate(name, *told, panel="P(parent fires | child fires)"))
    return interval_dots(
        "growth",
        estimates,
        title="New latents, and children that fire with their parents",
        caption="Left: latents of the wider SAE without a parent in the narrower one. Right: of the others, how often the parent "
        "fires on the child's tokens. Bars are 95 % intervals over latents.",
    )
