"""Training curves from the rows of `metrics.jsonl`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

from monoseme.reports.figures._figure import Figure
from monoseme.reports.figures._scales import by_sae

_MAX_POINTS = 300
"""Per SAE and curve: more than a figure has pixels for; neighbours are averaged."""

_SHORT = "datum.value ? format(datum.value, '~s') : '0'"


class Curve(NamedTuple):
    """A column of `metrics.jsonl` as a figure."""

    field: str
    title: str
    caption: str
    axis: str
    log: bool = False


CURVES = (
    Curve(
        "fvu",
        "FVU while training",
        "Fraction of variance unexplained on training batches (lines) and held-out documents (points). Points above their line "
        "mean overfitting.",
        "FVU (log)",
        log=True,
    ),
    Curve("l0", "Active latents while training", "Mean number of latents that fire on a token.", "L0"),
    Curve(
        "dead_fraction",
        "Dead latents while training",
        "Share of latents that have not fired for the number of tokens after which training calls a latent dead.",
        "dead fraction",
    ),
)


def training_curves(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """A figure for each of `CURVES` that the rows have at least two values of."""
    found = ((curve, [_point(row, curve) for row in rows if _has(row, curve)]) for curve in CURVES)
    return [_curve(curve, points) for curve, points in found if len(points) > 1]


def _has(row: Mapping[str, Any], curve: Curve) -> bool:
    value = row.get(curve.field)
    return isinstance(value, int | float) and math.isfinite(value) and (value > 0 or not curve.log) and "sae" in row


def _point(row: Mapping[str, Any], curve: Curve) -> dict[str, Any]:
    return {
        "sae": str(row["sae"]),
        "tokens": row.get("tokens", row.get("step", 0)),
        "value": float(row[curve.field]),
        "held_out": row.get("event") == "validation",
    }


def _curve(curve: Curve, points: list[dict[str, Any]]) -> Figure:
    trained = thin([p for p in points if not p["held_out"]])
    held_out = [p for p in points if p["held_out"]]
    base = alt.Chart(alt.Data(values=trained + held_out))
    x = alt.X("tokens:Q", title="tokens", axis=alt.Axis(labelExpr=_SHORT, tickCount=6))
    scale = alt.Scale(type="log", nice=False) if curve.log else alt.Scale(zero=True)
    y = alt.Y("value:Q", title=curve.axis, scale=scale, axis=alt.Axis(format="~g", tickCount=6))
    color = by_sae([p["sae"] for p in points])
    tooltip = [
        alt.Tooltip("sae:N", title="SAE"),
        alt.Tooltip("tokens:Q", format=",", title="tokens"),
        alt.Tooltip("value:Q", format=".4g", title=curve.axis),
    ]
    marks = [base.transform_filter("!datum.held_out").mark_line(strokeWidth=1.6)] if trained else []
    marks += [base.transform_filter("datum.held_out").mark_circle(size=44, opacity=1)] if held_out else []
    chart = alt.layer(*(mark.encode(x=x, y=y, color=color, tooltip=tooltip) for mark in marks))
    return Figure(name=f"training_{curve.field}", title=curve.title, caption=curve.caption, chart=chart)


def thin(points: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `_MAX_POINTS` points per SAE: means of consecutive stretches, in tokens and in value."""
    per_sae: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        per_sae.setdefault(point["sae"], []).append(point)
    return [thinned for held in per_sae.values() for thinned in _stretches(held)]


def _stretches(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    size = math.ceil(len(points) / _MAX_POINTS)
    groups = (points[i : i + size] for i in range(0, len(points), size))
    means = [{name: sum(p[name] for p in group) / len(group) for name in ("tokens", "value")} for group in groups]
    return [mean | {"sae": points[0]["sae"], "held_out": False} for mean in means]
