"""Pictures of latents over a long text, and of how codes go from one passage to the next."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
from numpy.typing import NDArray

from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._base import Row

_WIDTH, _ROW, _LABELS = 760, 17, 220
"""Of the token axis, of a latent's row, and of the labels left of it (pixels)."""
_SPELT_OUT = 90
"""Tokens up to which each is written on the axis."""
_TOKEN_WIDTH = 11
_LINE_HEIGHT = 34
_CONTEXT_TOKENS = 8
"""On either side of a token in its tooltip."""
_PIXELS_PER_CHARACTER = 6.5
_WEAKEST, _EXPONENT = 0.15, 0.6
"""Most activations are far below the largest one: in proportion they could not be told from nothing."""


def _visible(token: str) -> str:
    """Spaces and line ends get a mark, so that " the" and "the" differ."""
    return token.replace(" ", "·").replace("\n", "↵").replace("\t", "⇥")


class ShownText(NamedTuple):
    """The text that is drawn."""

    tokens: Sequence[str]
    passages: Sequence[tuple[int, int, str]]
    """First token, token after the last, topic."""
    context_starts: Sequence[int]
    """First tokens of contexts that do not begin a passage, the first context left out."""


class ShownLatent(NamedTuple):
    """One row."""

    part: str
    latent: int
    explanation: str | None
    values: NDArray[np.float64]
    """[T] activation on each token of the text."""

    @property
    def name(self) -> str:
        """Number and explanation."""
        return str(self.latent) if self.explanation is None else f"{self.latent} {self.explanation}"


def activity_map(sae: str, text: ShownText, latents: Sequence[ShownLatent], *, rule: str) -> Figure:
    """Latents by tokens, shaded by activation; a panel for each part, one above the other over one token axis."""
    words = list(dict.fromkeys(latent.part for latent in latents))
    panels = [_panel(text, word, [each for each in latents if each.part == word]) for word in words]
    spelt = [_spelt(text)] if len(text.tokens) <= _SPELT_OUT else []
    chart = alt.concat(_band(text), *panels, *spelt, columns=1, spacing=8)
    return Figure(
        name=f"activity_{sae}",
        title=f"{sae}: latents over a text that changes its topic",
        caption=f"Rows are the latents with {rule}, those with most first; each is shaded relative to its own largest "
        "activation. Lines are changes of passage, named above; dashed ones are ends of a context, beyond which the model sees "
        "nothing.",
        chart=chart,
        has_own_size=True,
    )


def _panel(text: ShownText, word: str, latents: Sequence[ShownLatent]) -> Any:
    cells = [cell for row, latent in enumerate(latents) for cell in _cells(row, latent)]
    names = [_unique(row, latent) for row, latent in enumerate(latents)]
    y_axis = alt.Axis(
        labelLimit=_LABELS - 10, minExtent=_LABELS, maxExtent=_LABELS, labelFontSize=10, labelExpr="substring(datum.label, 3)"
    )
    squares = (
        alt.Chart(alt.Data(values=cells))
        .transform_lookup("at", from_=alt.LookupData(alt.Data(values=_contexts(text)), "at", ["token", "around"]))
        .mark_rect(strokeWidth=0)
        .encode(
            x=_x("at", text, labels=len(text.tokens) > _SPELT_OUT),
            x2="end:Q",
            y=alt.Y("row:N", title=None, sort=names, scale=alt.Scale(domain=names, paddingInner=0.12), axis=y_axis),
            color=alt.Color("shade:Q", scale=alt.Scale(domain=[0, 1], range="heatmap"), legend=None),
            tooltip=[
                alt.Tooltip("token:N"),
                alt.Tooltip("around:N", title="in"),
                alt.Tooltip("latent:N"),
                alt.Tooltip("value:Q", format=".3g", title="activation"),
            ],
        )
    )
    layers: Any = alt.layer(squares, *_borders(text))  # altair says it could become a FacetChart
    return layers.properties(width=_width(text), height=alt.Step(_ROW), title=alt.Title(word, fontSize=12, offset=4))


def _unique(row: int, latent: ShownLatent) -> str:
    """Two latents may have one explanation; the number in front, which the axis leaves out, keeps their order."""
    return f"{row:02d} {latent.name}"


def _cells(row: int, latent: ShownLatent) -> list[Row]:
    top = float(np.abs(latent.values).max()) or 1.0
    return [
        {
            "row": _unique(row, latent),
            "latent": latent.name,
            "at": int(at),
            "end": int(at) + 1,
            "value": float(f"{latent.values[at]:.4g}"),
            "shade": round(_WEAKEST + (1 - _WEAKEST) * (abs(float(latent.values[at])) / top) ** _EXPONENT, 3),
        }
        for at in np.flatnonzero(latent.values)
    ]


def _contexts(text: ShownText) -> list[Row]:
    shown = [_visible(token) for token in text.tokens]
    return [
        {
            "at": i,
            "token": shown[i],
            "around": "".join(text.tokens[max(0, i - _CONTEXT_TOKENS) : i])
            + f"[{text.tokens[i]}]"
            + "".join(text.tokens[i + 1 : i + 1 + _CONTEXT_TOKENS]),
        }
        for i in range(len(shown))
    ]


def _width(text: ShownText) -> int:
    return max(_WIDTH, _TOKEN_WIDTH * len(text.tokens)) if len(text.tokens) <= _SPELT_OUT else _WIDTH


def _x(field: str, text: ShownText, *, labels: bool = True, title: str | None = "token of the text") -> alt.X:
    axis = alt.Axis(tickCount=8, format="d") if labels else None
    scale = alt.Scale(domain=[0, len(text.tokens)], nice=False)
    return alt.X(f"{field}:Q", title=title if labels else None, scale=scale, axis=axis)


def _borders(text: ShownText) -> list[alt.Chart]:
    starts = [{"at": start} for start, _, _ in text.passages if start]
    cuts = [{"at": start} for start in text.context_starts]
    x = alt.X("at:Q")
    return [
        alt.Chart(alt.Data(values=starts)).mark_rule(strokeWidth=1.3).encode(x=x),
        alt.Chart(alt.Data(values=cuts)).mark_rule(strokeWidth=1, strokeDash=[3, 3], opacity=0.8).encode(x=x),
    ]


def _band(text: ShownText) -> Any:
    """The passages by name."""
    per_token = _width(text) / len(text.tokens) / _PIXELS_PER_CHARACTER
    rows = [
        {
            "at": a,
            "end": b,
            "middle": (a + b) / 2,
            "topic": topic,
            "short": _cut(topic, int((b - a) * per_token) - 1),
            "odd": i % 2,
        }
        for i, (a, b, topic) in enumerate(text.passages)
    ]
    base = alt.Chart(alt.Data(values=rows))
    boxes = base.mark_rect(color="#8a8378", stroke=None).encode(
        x=_x("at", text, labels=False),
        x2="end:Q",
        opacity=alt.Opacity("odd:Q", scale=alt.Scale(domain=[0, 1], range=[0.14, 0.3]), legend=None),
        tooltip=[alt.Tooltip("topic:N", title="passage")],
    )
    names = base.mark_text(fontSize=11).encode(x="middle:Q", text="short:N")
    return alt.layer(boxes, names).properties(width=_width(text), height=20)


def _cut(words: str, n: int) -> str:
    return words if len(words) <= n else words[: max(n - 1, 0)] + "…" if n > 1 else ""


def _spelt(text: ShownText) -> alt.Chart:
    """Each token below its column."""
    rows = [{"at": i + 0.5, "token": _visible(token)} for i, token in enumerate(text.tokens)]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_text(angle=270, align="right", baseline="middle", fontSize=10, limit=90)
        .encode(x=_x("at", text, labels=False), y=alt.value(0), text="token:N")
        .properties(width=_width(text), height=80)
    )


def activity_lines(sae: str, text: ShownText, latents: Sequence[ShownLatent], *, smooth: int, rule: str) -> Figure:
    """A small line chart for each latent: activation over tokens as it is, thin, and smoothed, thick."""
    words = list(dict.fromkeys(latent.part for latent in latents))
    rows = [row for i, latent in enumerate(latents) for row in _points(i, latent, smooth)]
    order = [f"{latent.part} {_unique(i, latent)}" for i, latent in enumerate(latents)]
    data = alt.Data(values=rows)
    y_scale = alt.Scale(domain=[min((row["raw"] for row in rows), default=0.0), 1])
    color = alt.Color("part:N", scale=alt.Scale(domain=words), legend=alt.Legend(symbolType="stroke") if len(words) > 1 else None)
    y = alt.Y("raw:Q", title=None, scale=y_scale, axis=None)
    raw = alt.Chart().mark_line(strokeWidth=0.8, opacity=0.55).encode(x=_x("at", text), y=y, color=color)
    smoothed = alt.Chart().mark_line(strokeWidth=2.2).encode(x=_x("at", text), y="smooth:Q", color=color)
    header = alt.Header(
        labelAngle=0,
        labelAlign="left",
        labelOrient="left",
        labelLimit=_LABELS,
        labelFontSize=10,
        title=None,
        labelExpr="substring(datum.label, indexof(datum.label, ' ') + 4)",
    )
    layers: Any = alt.layer(raw, smoothed, *_borders(text), data=data).properties(width=_width(text) - 60, height=_LINE_HEIGHT)
    chart = layers.facet(row=alt.Row("row:N", sort=order, header=header), spacing=6)
    return Figure(
        name=f"lines_{sae}",
        title=f"{sae}: the first of these latents as lines",
        caption=f"Each relative to its own largest activation, token by token (thin) and as a mean over {smooth} tokens (thick); "
        f"chosen by {rule}. Lines across are changes of passage, dashed ones ends of a context.",
        chart=chart,
        has_own_size=True,
    )


def _points(i: int, latent: ShownLatent, smooth: int) -> list[Row]:
    scaled = latent.values / (np.abs(latent.values).max() or 1.0)
    weights = np.convolve(np.ones(len(scaled)), np.ones(smooth), mode="same")
    means = np.convolve(scaled, np.ones(smooth), mode="same") / weights
    name = f"{latent.part} {_unique(i, latent)}"
    return [
        {"row": name, "part": latent.part, "at": at + 0.5, "raw": round(float(a), 3), "smooth": round(float(b), 3)}
        for at, (a, b) in enumerate(zip(scaled, means, strict=True))
    ]


_PANELS = {
    "eta_squared_corrected": "share of variance between passages",
    "passage_border_change": "change where a passage begins",
    "context_border_change": "change where a context begins",
    "passage_distance": "distance of neighbouring passages",
    "switch_tokens": "tokens until the code has switched",
}


def following(rows: Sequence[Row]) -> Figure:
    """A dot with its interval for each SAE, part and number; rows have sae, part, metric, value, low, high."""
    several = len({row["part"] for row in rows}) > 1
    return interval_dots(
        "following",
        [
            Estimate(row["sae"], row["value"], row["low"], row["high"], panel=panel, group=row["part"] if several else "")
            for metric, panel in _PANELS.items()
            for row in rows
            if row["metric"] == metric
        ],
        title="How closely codes follow the passages",
        caption="Bars are 95 % intervals over texts. Share of variance: 0 is what borders elsewhere would give, 1 a code that "
        "follows nothing but passages. Changes: 1 is the change at any place without a border. No row: not measurable.",
    )


def switching(rows: Sequence[Row]) -> Figure:
    """Place of the code around a border, for each SAE a panel; rows have sae, part, token, value, low, high."""
    words = list(dict.fromkeys(row["part"] for row in rows))
    saes = list(dict.fromkeys(row["sae"] for row in rows))
    color = alt.Color("part:N", scale=alt.Scale(domain=words), legend=alt.Legend(symbolType="stroke") if len(words) > 1 else None)
    x = alt.X("token:Q", title="tokens after the change", axis=alt.Axis(tickCount=5), scale=alt.Scale(nice=False))
    y = alt.Y("low:Q", title="old passage (0) to new (1)", scale=alt.Scale(domain=[-0.5, 1.5], clamp=True))
    ribbon = alt.Chart().mark_area(opacity=0.18).encode(x=x, y=y, y2="high:Q", color=color)
    line = (
        alt.Chart()
        .mark_line(strokeWidth=2)
        .encode(x=x, y="value:Q", color=color, tooltip=["part:N", "token:Q", alt.Tooltip("value:Q", format=".2f")])
    )
    border = alt.Chart(alt.Data(values=[{"x": 0}])).mark_rule(strokeDash=[2, 3]).encode(x="x:Q")
    layers: Any = alt.layer(ribbon, line, border, data=alt.Data(values=list(rows))).properties(width=240, height=170)
    return Figure(
        name="switching",
        title="How codes go over from one passage to the next",
        caption="Mean over borders that are no ends of a context, with 95 % intervals over texts. A step at 0 is a code that "
        "changes with the first token of the new passage; a slope one that lags behind.",
        chart=layers.facet(facet=alt.Facet("sae:N", title=None, sort=saes), columns=min(3, len(saes))),
        has_own_size=True,
    )
