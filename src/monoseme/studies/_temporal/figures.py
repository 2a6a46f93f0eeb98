"""Figures of codes over time: metrics and differences as dots, autocorrelation as curves, smoothness against what is explained,
and what the density of a latent does to each measure."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from monoseme.core.intervals import Z_95
from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._base import Row
from monoseme.studies._temporal.measure import OverTime
from monoseme.studies._temporal.tables import MAIN

_SAID = {
    "smoothness_tv_to_shuffled": "variation to that in random order",
    "smoothness_autocorrelation_1": "autocorrelation over 1 token",
    "smoothness_autocorrelation_32": "autocorrelation over 32 tokens",
    "smoothness_tv_relative": "relative total variation",
    "smoothness_sequence_l0_relative": "latents of 32 tokens / L0",
    "fvu_alone": "FVU of the part alone",
}
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_FACET_WIDTH, _CURVE_WIDTH, _FACET_HEIGHT, _SIDE = 300, 220, 190, 600
_PER_DECADE = 2
_FEW_LATENTS = 5
"""Fewer latents in a bin of densities have no median that tells anything."""
_FEW_FIRINGS = 5


def metric_dots(found: Sequence[OverTime]) -> Figure | None:
    """A panel for each main metric, a row for each subject; None where nothing has a value."""
    estimates = [
        Estimate(each.subject.name, interval.value, interval.low, interval.high, panel=_SAID[metric])
        for metric in MAIN
        for each in found
        if (interval := each.interval(metric)) is not None
    ]
    if not estimates:
        return None
    return interval_dots(
        "smoothness",
        estimates,
        title="How codes change over time",
        caption="Smoother is left in variation and latents per L0, right in autocorrelation. Variation to that in random order "
        "is 1 where the order of tokens does not matter, however often latents fire; relative variation is less for what fires "
        "often. Bars are 95 % intervals over documents.",
    )


def difference_dots(rows: Sequence[Row]) -> Figure | None:
    """Paired differences from the baseline; None where there is none."""
    estimates = [
        Estimate(
            f"{row['code']} − {row['baseline']}",
            row["difference"],
            row["low"],
            row["high"],
            panel=f"difference in {_SAID[row['metric']]}",
        )
        for row in rows
        if row["metric"] in MAIN
    ]
    if not estimates:
        return None
    return interval_dots(
        "difference_intervals",
        estimates,
        title="Differences between codes over time",
        caption="Each code less its baseline on the same documents, with paired 95 % intervals; dashed is no difference. These "
        "are narrower than the intervals of the two values, where the same documents move both.",
        reference=0.0,
    )


def autocorrelation_curves(rows: Sequence[Row]) -> Figure | None:
    """A panel for each part, a line for each SAE; None without a lag to show."""
    held = [row for row in rows if row["lag"] > 0]
    if not held:
        return None
    parts, saes = (list(dict.fromkeys(row[name] for row in held)) for name in ("part", "sae"))
    values = [
        {"sae": row["sae"], "part": row["part"], "lag": row["lag"], "r": row["autocorrelation"]} | _band(row) for row in held
    ]
    highest = max(value["high"] for value in values)
    scale = alt.Scale(domain=[min(0.0, min(value["low"] for value in values)), min(1.0, highest)], nice=True)
    charts = [_curves([v for v in values if v["part"] == part], part, saes, scale) for part in parts]
    chart = alt.concat(*charts, columns=3, spacing=20).resolve_scale(color="shared")
    return Figure(
        name="autocorrelation_curves",
        title="How long codes remember themselves",
        caption="Autocorrelation of the code over tokens of a document, a panel for each part: 0 is noise, and a line that stays "
        "above 0 is what lasts over the text. What is missing to 1 at the first lag belongs to one token only. Bands are 95 % "
        "intervals over documents.",
        chart=chart,
        has_own_size=True,
    )


def _band(row: Row) -> Row:
    spread = Z_95 * (row["standard_error"] or 0.0)
    return {"low": row["autocorrelation"] - spread, "high": row["autocorrelation"] + spread}


def _curves(values: Sequence[Row], part: str, saes: list[str], scale: alt.Scale) -> Any:
    color = alt.Color("sae:N", scale=alt.Scale(domain=saes), sort=saes, legend=alt.Legend() if len(saes) > 1 else None)
    base = alt.Chart(alt.Data(values=list(values)), title=alt.Title(part, fontSize=12, fontWeight="normal", offset=4)).encode(
        x=alt.X(
            "lag:Q", title="lag (tokens)", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(values=[1, 2, 4, 8, 16, 32, 64])
        ),
        color=color,
    )
    band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title="autocorrelation", scale=scale), y2="high:Q")
    line = base.mark_line(strokeWidth=2).encode(
        y=alt.Y("r:Q", title="autocorrelation", scale=scale),
        tooltip=["sae:N", "lag:Q", alt.Tooltip("r:Q", format=".3f", title="autocorrelation")],
    )
    return alt.layer(band, line).properties(width=_CURVE_WIDTH, height=_FACET_HEIGHT)


def smoothness_against_fvu(found: Sequence[OverTime]) -> Figure | None:
    """Variation to that in random order over what the part explains alone; None where nothing has both."""
    values: list[Row] = []
    for each in found:
        smooth, alone = each.interval("smoothness_tv_to_shuffled"), each.interval("fvu_alone")
        if smooth is not None and alone is not None:
            values.append(
                {"code": each.subject.name, "sae": each.subject.sae_name, "part": each.subject.word}
                | {"y": smooth.value, "y_low": smooth.low, "y_high": smooth.high}
                | {"x": alone.value, "x_low": alone.low, "x_high": alone.high}
            )
    if not values:
        return None
    return Figure(
        name="smoothness_fvu",
        title="What smoothness costs",
        caption="Each point is a code: the further down, the smoother, the further left, the more it explains by itself. "
        "Left and low at once is slow information that matters. Bars are 95 % intervals over documents.",
        chart=_cloud(values),
        has_own_size=True,
    )


def _cloud(values: list[Row]) -> Any:
    saes, parts = (list(dict.fromkeys(value[name] for value in values)) for name in ("sae", "part"))
    shapes = [_SHAPES[i % len(_SHAPES)] for i in range(len(parts))]
    smooth, alone = "variation to that in random order", "FVU of the code alone"
    scale = alt.Scale(zero=False, padding=16)
    x, y = alt.X("x:Q", title=alone, scale=scale), alt.Y("y:Q", title=smooth, scale=scale)
    base = alt.Chart(alt.Data(values=values)).encode(
        color=alt.Color("sae:N", scale=alt.Scale(domain=saes), sort=saes, legend=alt.Legend() if len(saes) > 1 else None)
    )
    rule = base.mark_rule(strokeWidth=1.5)
    upright = rule.encode(x=x, y=alt.Y("y_low:Q", title=smooth, scale=scale), y2="y_high:Q")
    across = rule.encode(y=y, x=alt.X("x_low:Q", title=alone, scale=scale), x2="x_high:Q")
    shape = alt.Shape(
        "part:N", scale=alt.Scale(domain=parts, range=shapes), sort=parts, legend=alt.Legend() if len(parts) > 1 else None
    )
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        x=x, y=y, shape=shape, tooltip=["code:N", alt.Tooltip("y:Q", format=".3f"), alt.Tooltip("x:Q", format=".3f")]
    )
    layered: Any = alt.layer(upright, across, dots)
    return layered.properties(width=_SIDE, height=300)


def density_rows(found: Sequence[OverTime]) -> list[Row]:
    """Medians over the latents of each whole code by density: two bins for each factor of ten, latents that fire often enough."""
    rows: list[Row] = []
    for each in found:
        if each.subject.word == "all" or not any(o.subject.sae is each.subject.sae and o.subject.word == "all" for o in found):
            rows += _medians(each)
    return rows


def _medians(each: OverTime) -> list[Row]:
    columns = {name: np.asarray(each.latents[name].to_pylist(), dtype=np.float64) for name in each.latents.column_names[2:]}
    often = columns["firings"] >= _FEW_FIRINGS
    bins = np.ceil(np.log10(np.where(often, columns["density"], 1.0)) * _PER_DECADE)  # a latent that is always on is in the last
    rows: list[Row] = []
    for number in sorted(set(bins[often].tolist())):
        chosen = often & (bins == number)
        if chosen.sum() >= _FEW_LATENTS:
            held = {name: columns[name][chosen] for name in ("tv_relative", "tv_to_shuffled", "autocorrelation_1")}
            medians = {name: _median(values) for name, values in held.items()}
            density = _median(columns["density"][chosen])
            rows.append({"code": each.subject.name, "density": density, "latents": int(chosen.sum()), **medians})
    return rows


def _median(values: np.ndarray) -> float | None:
    there = values[np.isfinite(values)]
    return float(np.median(there)) if len(there) else None


def density_lines(rows: Sequence[Row]) -> Figure | None:
    """Two measures of variation over the density of latents; None where no bin has enough latents."""
    if not rows:
        return None
    codes = list(dict.fromkeys(row["code"] for row in rows))
    panels = {"tv_relative": "relative total variation", "tv_to_shuffled": "variation to that in random order"}
    charts = [_over_density(rows, column, title, codes) for column, title in panels.items()]
    return Figure(
        name="density",
        title="What firing often does to a measure of smoothness",
        caption="Medians over latents by how often they fire. Relative variation falls by chance alone where a latent fires on "
        "most tokens; against random order that advantage is gone, and what is below 1 is order in time.",
        chart=alt.concat(*charts, columns=2, spacing=28).resolve_scale(color="shared"),
        has_own_size=True,
    )


def _over_density(rows: Sequence[Row], column: str, title: str, codes: list[str]) -> alt.Chart:
    values = [{"code": row["code"], "density": row["density"], "y": row[column]} for row in rows if row[column] is not None]
    color = alt.Color("code:N", scale=alt.Scale(domain=codes), sort=codes, legend=alt.Legend() if len(codes) > 1 else None)
    x_scale = alt.Scale(type="log", nice=False, padding=10)
    return (
        alt.Chart(alt.Data(values=values))
        .mark_line(strokeWidth=1.6, point=alt.OverlayMarkDef(size=50, filled=True, opacity=1))
        .encode(
            x=alt.X(
                "density:Q",
                title="share of tokens on which a latent fires",
                scale=x_scale,
                axis=alt.Axis(format="~g", tickCount=4),
            ),
            y=alt.Y("y:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5)),
            color=color,
            tooltip=["code:N", alt.Tooltip("density:Q", format=".2g"), alt.Tooltip("y:Q", format=".3f", title=title)],
        )
        .properties(width=_FACET_WIDTH, height=_FACET_HEIGHT)
    )
