"""Figures of the latents as a population: how often they fire, how many fire at once."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import altair as alt

from monoseme.reports.figures._figure import Figure
from monoseme.reports.figures._scales import by_sae

if TYPE_CHECKING:
    import pyarrow as pa


def density_histogram(tables: "Mapping[str, pa.Table]", *, n_tokens: int | None = None) -> Figure:
    """Latents by density, from each SAE's table `density` (`low`, `high`, `n_latents`; row 0 is the dead).

    `n_tokens` were measured of each; None where that differs or is not known.
    """
    rows: list[dict[str, Any]] = []
    dead: dict[str, int] = {}
    for name, table in tables.items():
        first, *bins = table.to_pylist()
        dead[name] = first["n_latents"]
        rows += [row | {"sae": name} for row in _trimmed(bins)]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_area(interpolate="step-after", opacity=0.22, line={"strokeWidth": 1.6})
        .encode(
            x=alt.X("low:Q", title="density: share of tokens on which a latent fires (log)", scale=_log(), axis=_powers()),
            y=alt.Y("n_latents:Q", title="latents", axis=alt.Axis(tickCount=5), stack=None),
            color=by_sae(tables),
            tooltip=[
                alt.Tooltip("sae:N", title="SAE"),
                alt.Tooltip("low:Q", format=".2~g", title="from"),
                alt.Tooltip("high:Q", format=".2~g", title="below"),
                alt.Tooltip("n_latents:Q", format=",", title="latents"),
            ],
        )
    )
    never = ", ".join(f"{name} {count:,}" for name, count in dead.items())
    silent = "never fired" if n_tokens is None else f"fired on none of the {n_tokens:,} tokens measured"
    caption = (
        f"Most latents should fire rarely. A bump at the right end is dense latents, which seldom mean one thing. "
        f"Latents that {silent} are not drawn: {never}."
    )
    return Figure(name="density", title="How often latents fire", caption=caption, chart=chart)


def _trimmed(bins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the empty bins below the rarest latent; one empty row closes the last step."""
    start = next((i for i, row in enumerate(bins) if row["n_latents"]), len(bins) - 1)
    last = bins[-1]
    return [*bins[start:], {"low": last["high"], "high": last["high"], "n_latents": last["n_latents"]}]


def _log() -> alt.Scale:
    return alt.Scale(type="log", nice=False)


def _powers() -> alt.Axis:
    ticks = [10.0**power for power in range(-6, 1)]
    return alt.Axis(values=ticks, labelExpr="datum.value >= 0.001 ? format(datum.value, '~g') : format(datum.value, '.0e')")


def l0_distribution(tables: "Mapping[str, pa.Table]") -> Figure:
    """Share of tokens with at most so many active latents, from each SAE's table `l0` (`l0`, `n_tokens`)."""
    rows = [row | {"sae": name} for name, table in tables.items() for row in _cumulative(table.to_pylist())]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=alt.X(
                "l0:Q", title="latents active on a token", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(zero=True)
            ),
            y=alt.Y("share:Q", title="share of tokens with at most as many", axis=alt.Axis(format="~%", tickCount=5)),
            color=by_sae(tables),
            tooltip=[
                alt.Tooltip("sae:N", title="SAE"),
                alt.Tooltip("l0:Q", title="at most"),
                alt.Tooltip("share:Q", format=".1%", title="of tokens"),
            ],
        )
    )
    caption = (
        "A single step means that every token gets the same number of latents (TopK); a slope means that tokens get as many as "
        "they need (BatchTopK, thresholds)."
    )
    return Figure(name="l0", title="How many latents fire at once", caption=caption, chart=chart)


def _cumulative(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`l0` and the share of tokens up to it, from the empty count below the smallest to the largest that occurs."""
    counted = sorted((row["l0"], row["n_tokens"]) for row in rows if row["n_tokens"])
    total = sum(n for _, n in counted)
    below = itertools.accumulate(n for _, n in counted)
    start = [{"l0": max(counted[0][0] - 1, 0), "share": 0.0}] if counted else []
    return start + [{"l0": l0, "share": n / total} for (l0, _), n in zip(counted, below, strict=True)]
