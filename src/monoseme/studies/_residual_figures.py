"""Figures of the residual stream: neighbouring layers, all pairs of layers, and norms."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from monoseme.reports.figures import Figure
from monoseme.studies._base import Row

_KINDS = {"centred": "less the layer's mean", "raw": "as they are"}
_CELL, _MOST_CELLS = 40, 300
"""Pixels of a cell of the map, and of its whole side at most."""
_MOST_WRITTEN = 14
"""Layers up to which the cells of the map carry their numbers."""
_SHADES = ("#f4f1ea", "#2856c3")
"""From 0 to 1, on light and dark pages alike: the numbers are written on them."""


def adjacent_lines(rows: Sequence[Row]) -> Figure:
    """Cosine of neighbouring layers, raw and centred, with intervals."""
    order = [_pair(row) for row in rows if row["kind"] == rows[0]["kind"]]
    values = [{"pair": _pair(row), "vectors": _KINDS[row["kind"]], **_value(row)} for row in rows]
    names = list(_KINDS.values())
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("pair:N", title="layers", sort=order, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        color=alt.Color("vectors:N", scale=alt.Scale(domain=names), sort=names, legend=alt.Legend()),
    )
    y = alt.Y("mean:Q", title="mean cosine", scale=alt.Scale(zero=False, padding=14), axis=alt.Axis(tickCount=5))
    lines = base.mark_line(strokeWidth=1.6, point=alt.OverlayMarkDef(size=60, opacity=1)).encode(
        y=y, tooltip=["pair:N", "vectors:N", alt.Tooltip("mean:Q", format=".4f")]
    )
    bars = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title="mean cosine"), y2="high:Q")
    return Figure(
        name="adjacent_cosine",
        title="How alike neighbouring layers are",
        caption="Cosine of a token's vectors at two neighbouring layers, mean over tokens. A mean vector that all layers share "
        "makes raw vectors look alike; without it, what remains is of the token. Bars, mostly hidden by their points, are 95 % "
        "intervals over documents.",
        chart=alt.layer(bars, lines),
    )


def _pair(row: Row) -> str:
    return f"{_short(row['first'])}–{_short(row['second'])}"


def _short(site: str) -> str:
    """The layer's number; `in` for what enters the first block."""
    kind, layer = site.split("@")[0].split(".")
    return "in" if kind == "resid_pre" else layer


def _value(row: Row) -> dict[str, Any]:
    """Without an interval, both ends are the value."""
    return {"mean": row["mean"], **{end: row["mean"] if row[end] is None else row[end] for end in ("low", "high")}}


def similarity_map(rows: Sequence[Row]) -> Figure:
    """All pairs of layers, one map for each kind."""
    panels = [_map([row for row in rows if row["kind"] == kind], kind) for kind in _KINDS]
    return Figure(
        name="layer_similarity",
        title="How alike any two layers are",
        caption="Mean cosine of a token's vectors at the layers of the row and of the column; pale is 0, dark is 1. Squares of "
        "dark cells along the diagonal are stretches of layers that change little.",
        chart=alt.concat(*panels, spacing=36),
        has_own_size=True,
    )


def _map(rows: Sequence[Row], kind: str) -> Any:
    order = [_short(row["second"]) for row in rows if row["i"] == 0]
    step = min(_CELL, _MOST_CELLS / len(order))
    values = [{"first": _short(row["first"]), "second": _short(row["second"]), "cosine": row["mean"]} for row in rows]
    axis = alt.Axis(labelAngle=0, labelOverlap=True, domain=False, ticks=False)
    base = alt.Chart(alt.Data(values=values), title=f"vectors {_KINDS[kind]}").encode(
        x=alt.X("second:N", title="layer", sort=order, axis=axis),
        y=alt.Y("first:N", title="layer", sort=order[::-1], axis=axis),
    )
    shade = alt.Color("cosine:Q", scale=alt.Scale(range=list(_SHADES), domain=[0, 1], clamp=True, interpolate="rgb"), legend=None)
    squares = base.mark_rect(stroke="transparent").encode(
        color=shade, tooltip=["first:N", "second:N", alt.Tooltip("cosine:Q", format=".4f")]
    )
    layers: list[Any] = [squares]
    if len(order) <= _MOST_WRITTEN:
        ink = alt.condition("datum.cosine < 0.55", alt.value("#1e1c19"), alt.value("#ffffff"))
        layers.append(base.mark_text(fontSize=10).encode(text=alt.Text("cosine:Q", format=".2f"), color=ink))
    return alt.layer(*layers).properties(width=step * len(order), height=step * len(order))


def norm_lines(rows: Sequence[Row]) -> Figure:
    """Mean norm by layer, with the spread over tokens."""
    values = [
        {
            "layer": _short(row["site"]),
            **_value(row),
            "below": max(0.0, row["mean"] - row["std"]),
            "above": row["mean"] + row["std"],
        }
        for row in rows
    ]
    order = [_short(row["site"]) for row in rows]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("layer:N", title="layer", sort=order, axis=alt.Axis(labelAngle=0, labelOverlap=True))
    )
    y = alt.Y("below:Q", title="norm", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5, format="~s"))
    band = base.mark_area(opacity=0.2).encode(y=y, y2="above:Q")
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=60, opacity=1)).encode(
        y=alt.Y("mean:Q", title="norm"),
        tooltip=[
            "layer:N",
            alt.Tooltip("mean:Q", format=".4g"),
            alt.Tooltip("low:Q", format=".4g"),
            alt.Tooltip("high:Q", format=".4g"),
        ],
    )
    return Figure(
        name="norms",
        title="How long the vectors are",
        caption="Mean norm of the residual stream at each layer; the band is one standard deviation over tokens on each side.",
        chart=alt.layer(band, line),
    )
