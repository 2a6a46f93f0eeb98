"""Figures of the residual stream: neighbouring layers, all pairs of layers, and norms."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from monoseme.reports.figures import Cell, Figure, HeatScale, heat_map
from monoseme.studies._base import Row

_KINDS = {"centred": "less the layer's mean", "raw": "as they are"}


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


def similarity_maps(rows: Sequence[Row]) -> list[Figure]:
    """All pairs of layers, a map for each kind of vectors."""
    return [_map([row for row in rows if row["kind"] == kind], kind) for kind in _KINDS]


def _map(rows: Sequence[Row], kind: str) -> Figure:
    n = 1 + max(row["i"] for row in rows)
    from_above = [row for i in reversed(range(n)) for row in rows if row["i"] == i]
    return heat_map(
        f"layer_similarity_{kind}",
        [Cell(_short(row["first"]), _short(row["second"]), row["mean"]) for row in from_above],
        title=f"How alike any two layers are: vectors {_KINDS[kind]}",
        caption="Mean cosine of a token's vectors at the layers of the row and of the column. A square of strong cells along the "
        "diagonal is a stretch of layers that change little.",
        scale=HeatScale("mean cosine", low=0.0, high=1.0),
        axes=("layer", "layer"),
    )


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
