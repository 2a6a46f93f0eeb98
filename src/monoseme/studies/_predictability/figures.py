"""Figures of one text: likeness of its tokens, novelty along it, its way through the space of codes, attention between tokens.

Numbers of a matrix are kept as one text per row, which Vega-Lite takes apart: a twentieth of the size of one object per cell.
Letters: T tokens, G gaps between them, H heads.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
from numpy.typing import NDArray

from monoseme.reports.figures import Figure
from monoseme.studies._predictability.events import Layout

Array = NDArray[np.float64]
_MATRIX_PIXELS, _CURVE_WIDTH, _CURVE_HEIGHT, _VIEW_PIXELS = 250, 640, 190, 200
_COLUMNS = 2
_DIGITS = 3
_MOST_DOUBLINGS = 3.0
"""Attention is drawn from an eighth to eight times what each slot would get if all got the same."""
_PROJECTIONS = ((0, 1), (0, 2), (1, 2))
_POINTED = "token"
"""The selection of the point under the pointer."""
_CUTS: tuple[dict[str, Any], ...] = ({"strokeWidth": 3, "color": "white"}, {"strokeWidth": 1, "color": "black"})
"""Lines over cells of any colour: dark ones, with a light border."""
_AXES = ("first axis", "second axis", "third axis")


class Shown(NamedTuple):
    """A text to draw, cut to what a figure can hold."""

    name: str
    tokens: Sequence[str]
    places: Layout

    @property
    def slug(self) -> str:
        """For file names."""
        return re.sub(r"\W+", "_", self.name.lower()).strip("_") or "text"

    @property
    def told(self) -> str:
        """For captions."""
        return f'The text "{self.name}", {len(self.tokens)} tokens.'


def similarity_maps(shown: Shown, matrices: Mapping[str, Array]) -> Figure:
    """A heat map [T, T] for each code, side by side, with lines between events."""
    scale = alt.Scale(domain=[-1, 1], domainMid=0, range="diverging", interpolate="lab", clamp=True)
    charts = [_matrix(shown, name, matrix, scale=scale, title="cosine") for name, matrix in matrices.items()]
    return Figure(
        name=f"similarity_{shown.slug}",
        title="Which tokens have like codes",
        caption=f"{shown.told} Cosine of the centred codes of each two tokens, from the first (top, left) to the last. Lines are "
        "the boundaries between events: a code that holds on to an event shows a square of one colour for each.",
        chart=alt.concat(*charts, columns=_COLUMNS, spacing=24),
        has_own_size=True,
    )


def attention_heads(shown: Shown, sae: str, maps: Array) -> Figure:
    """A heat map for each head of maps [layers, H, T, T]."""
    scale = alt.Scale(domain=[-_MOST_DOUBLINGS, _MOST_DOUBLINGS], domainMid=0, range="diverging", interpolate="lab", clamp=True)
    slots = np.arange(1, len(shown.tokens) + 1)[:, None]
    doublings = np.log2(np.maximum(maps * slots, 2.0**-_MOST_DOUBLINGS))
    n_layers, n_heads = maps.shape[:2]
    charts = [
        _matrix(
            shown,
            f"layer {layer + 1}, head {head + 1}" if n_layers > 1 else f"head {head + 1}",
            np.where(np.tri(len(shown.tokens), dtype=bool), doublings[layer, head], np.nan),
            scale=scale,
            title="log2 of even",
            held=["(start)", *shown.tokens[:-1]],
        )
        for layer in range(n_layers)
        for head in range(n_heads)
    ]
    return Figure(
        name=f"attention_{_slug(sae)}_{shown.slug}",
        title=f"Where the attention of {sae} goes",
        caption=f"{shown.told} Each row is a token; columns are what it can look at: the first is the start, which holds no "
        "token, each other one the token before. 0: as much as if all got the same; each step up or down is a factor of two. "
        "Lines are event boundaries.",
        chart=alt.concat(*charts, columns=_COLUMNS, spacing=24),
        has_own_size=True,
    )


def _matrix(shown: Shown, name: str, matrix: Array, *, scale: alt.Scale, title: str, held: Sequence[str] | None = None) -> Any:
    """One heat map; NaN cells, which may only be at the end of a row, are left out.

    `held`: what the columns hold, where that is not the tokens themselves.
    """
    n = len(matrix)
    columns = held or shown.tokens
    parts = 10**_DIGITS
    rows = [
        {"i": i, "s": ",".join(str(round(float(value) * parts)) for value in row[np.isfinite(row)])}
        for i, row in enumerate(matrix)
    ]
    legend = alt.Legend(
        title=title, orient="right", gradientLength=120, gradientThickness=8, format="~g", tickCount=3, values=_ticks(scale)
    )
    squares = (
        alt.Chart(alt.Data(values=rows))
        .transform_calculate(s="split(datum.s, ',')")
        .transform_calculate(j="sequence(0, length(datum.s))")
        .transform_flatten(["j", "s"])
        .transform_calculate(s=f"datum.s / {parts}", x2="datum.j + 1", y2="datum.i + 1")
        .transform_lookup("i", alt.LookupData(alt.Data(values=_numbered(shown.tokens)), "k", ["token"]), as_=["row"])
        .transform_lookup("j", alt.LookupData(alt.Data(values=_numbered(columns)), "k", ["token"]), as_=["column"])
        .mark_rect(stroke=None)
        .encode(
            x=alt.X("j:Q", title="token", scale=alt.Scale(domain=[0, n], nice=False), axis=alt.Axis(grid=False, tickCount=5)),
            x2="x2:Q",
            y=alt.Y(
                "i:Q",
                title="token",
                scale=alt.Scale(domain=[n, 0], nice=False),
                axis=alt.Axis(grid=False, tickCount=5),
            ),
            y2="y2:Q",
            color=alt.Color("s:Q", scale=scale, legend=legend),
            tooltip=[
                alt.Tooltip("row:N", title="row"),
                alt.Tooltip("column:N", title="column"),
                alt.Tooltip("s:Q", title=title, format=".3f"),
            ],
        )
    )
    cuts = alt.Chart(alt.Data(values=[{"at": gap + 1} for gap in shown.places.boundaries]))
    lines = [cuts.mark_rule(**stroke).encode(**{axis: "at:Q"}) for stroke in _CUTS for axis in ("x", "y")]
    head = alt.Title(name, fontSize=12, fontWeight="normal", offset=6)
    return alt.layer(squares, *lines).properties(width=_MATRIX_PIXELS, height=_MATRIX_PIXELS, title=head)


def _ticks(scale: alt.Scale) -> list[float]:
    low, high = scale["domain"]
    return [low, (low + high) / 2, high]


def _numbered(tokens: Sequence[str]) -> list[dict[str, Any]]:
    return [{"k": k, "token": token} for k, token in enumerate(tokens)]


def novelty_curves(shown: Shown, scores: Mapping[str, Array]) -> Figure:
    """The novelty [G] of each code along the text; long rules are boundaries, short ones the ends of sentences inside events."""
    values = [
        {"token": gap + 1, "code": name, "novelty": round(float(score), _DIGITS)}
        for name, each in scores.items()
        for gap, score in enumerate(each)
        if np.isfinite(score)
    ]
    names = list(scores)
    color = alt.Color("code:N", sort=names, scale=alt.Scale(domain=names), legend=alt.Legend(symbolType="stroke"))
    lines = (
        alt.Chart(alt.Data(values=values))
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("token:Q", title="tokens before the gap", scale=alt.Scale(domain=[0, len(shown.tokens)], nice=False)),
            y=alt.Y("novelty:Q", title="novelty", axis=alt.Axis(tickCount=5)),
            color=color,
            strokeDash=alt.StrokeDash("code:N", sort=names, legend=None),
            tooltip=["code:N", "token:Q", alt.Tooltip("novelty:Q", format=".3f")],
        )
    )
    cuts = alt.Chart(alt.Data(values=[{"at": gap + 1} for gap in shown.places.boundaries]))
    ends = alt.Chart(alt.Data(values=[{"at": gap + 1} for gap in shown.places.ends]))
    rules = cuts.mark_rule(strokeWidth=1.5).encode(x="at:Q")
    ticks = ends.mark_rule(strokeWidth=1.5).encode(x="at:Q", y=alt.value(_CURVE_HEIGHT), y2=alt.value(_CURVE_HEIGHT - 12))
    return Figure(
        name=f"novelty_{shown.slug}",
        title="Where codes change along a text",
        caption=f"{shown.told} Novelty: how much alike the tokens on either side are among themselves, less how alike the sides "
        "are. Lines over the whole height are event boundaries, short ones at the bottom the ends of other sentences. A code "
        "that follows events peaks at the former only.",
        chart=alt.layer(rules, ticks, lines).properties(width=_CURVE_WIDTH, height=_CURVE_HEIGHT),
        has_own_size=True,
    )


def trajectories(shown: Shown, points: Mapping[str, Array], *, method: str) -> Figure:
    """The points [T, 3] of each code as three linked projections: one point under the pointer is marked in all of them."""
    pairs = [(name, each, pair) for name, each in points.items() for pair in _PROJECTIONS]
    views = [_projection(shown, *what, view=f"view_{k}") for k, what in enumerate(pairs)]
    select = alt.PointSelectionConfig(type="point", fields=["t"], on="pointerover", clear="pointerout", nearest=True)
    # Said once for all views: Altair warns where each brings it.
    hover = alt.TopLevelSelectionParameter(name=_POINTED, select=select, views=[f"view_{k}" for k in range(len(views))])
    how = "UMAP keeps neighbours; its axes and far distances mean nothing." if method == "umap" else "Principal components."
    return Figure(
        name=f"trajectory_{shown.slug}",
        title="The way of a text through the space of codes",
        caption=f"{shown.told} A point for each token, joined in order, in three dimensions seen from three sides; colours and "
        f"the number at its first token tell the event. {how} A code that holds on to events stays in one place and then moves "
        "on.",
        chart=alt.concat(*views, columns=len(_PROJECTIONS), spacing=20, params=[hover]),
        has_own_size=True,
    )


def _projection(shown: Shown, name: str, points: Array, pair: tuple[int, int], *, view: str) -> Any:
    a, b = pair
    firsts = {0, *(gap + 1 for gap in shown.places.boundaries)}
    values: list[dict[str, Any]] = [
        {
            "t": t,
            "x": round(float(point[a]), _DIGITS),
            "y": round(float(point[b]), _DIGITS),
            "event": str(event + 1),
            "token": token,
        }
        | ({"first": str(event + 1)} if t in firsts else {})
        for t, (point, event, token) in enumerate(zip(points, shown.places.event.tolist(), shown.tokens, strict=True))
    ]
    order = [str(event + 1) for event in range(int(shown.places.event.max()) + 1)]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("x:Q", title=_AXES[a], scale=alt.Scale(zero=False, padding=10), axis=alt.Axis(labels=False, ticks=False)),
        y=alt.Y("y:Q", title=_AXES[b], scale=alt.Scale(zero=False, padding=10), axis=alt.Axis(labels=False, grid=False)),
    )
    way = base.mark_trail().encode(order="t:Q", size=alt.value(0.8), opacity=alt.value(0.5))
    dots = (
        base.mark_circle(opacity=0.95)
        .properties(name=view)
        .encode(
            color=alt.Color("event:N", sort=order, scale=alt.Scale(domain=order), legend=None),
            size=alt.condition({"param": _POINTED, "empty": False}, alt.value(160), alt.value(34)),
            tooltip=[alt.Tooltip("token:N"), alt.Tooltip("t:Q", title="place"), alt.Tooltip("event:N")],
        )
    )
    numbers = base.transform_filter("isValid(datum.first)").mark_text(dx=-8, dy=-8, fontSize=13, fontWeight="bold")
    head = alt.Title(name, fontSize=12, fontWeight="normal", offset=4)
    layers = alt.layer(way, dots, numbers.encode(text="first:N"))
    return layers.properties(width=_VIEW_PIXELS, height=_VIEW_PIXELS, title=head)


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_")
