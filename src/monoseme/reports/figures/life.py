"""The life of a dictionary: how often its latents fire while it is trained, and which of them die and come back.

From the rows `"event": "latents"` of `metrics.jsonl`, which `training.life` writes; each is about the window since the last one.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

from monoseme.reports.figures._figure import Figure
from monoseme.reports.figures._scales import by_sae

_MAX_COLUMNS = 90
"""Windows drawn for each SAE: more than that are joined with their neighbours."""
_MAX_SAES = 8
"""More would be a page of pictures that nobody compares; the rows are all in metrics.jsonl."""
_SILENT_GAP, _SILENT_HEIGHT = 0.25, 0.5
"""Of the band of silent latents below the rarest ones, in powers of ten."""
_SHORT = "datum.value ? format(datum.value, '~s') : '0'"
_TURNS = {"deaths": ("died", "#d0435d"), "revivals": ("came back", "#1f9d7c")}
"""Field -> its name in the legend, and a colour that shows on light and dark pages."""


class _Window(NamedTuple):
    """Neighbouring rows as one column of the picture."""

    start: float
    end: float
    density: list[float]
    silent: float
    deaths: int
    revivals: int


def dictionary_life(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[Figure]:
    """A figure for each SAE of `names`, in that order, that has at least two such rows; of the first eight."""
    per_sae: dict[str, list[Mapping[str, Any]]] = {name: [] for name in names}
    for row in rows:
        if row.get("event") == "latents" and str(row.get("sae")) in per_sae:
            per_sae[str(row["sae"])].append(row)
    lives = {name: held for name, held in per_sae.items() if len(held) > 1}
    return [_life(names, i, held) for i, held in [(names.index(n), h) for n, h in lives.items()][:_MAX_SAES]]


def _life(names: Sequence[str], i: int, rows: Sequence[Mapping[str, Any]]) -> Figure:
    windows = _windows(rows)
    edges = [float(edge) for edge in rows[0]["density_bins"]]
    lowest = next((j for j in range(len(edges) - 1) if any(w.density[j] for w in windows)), 0)
    base = _map(names, names[i], windows, edges=edges, lowest=lowest)
    turns = [t for w in windows for t in _turns(w)] if any(w.deaths or w.revivals for w in windows) else []
    chart = alt.layer(base, _lines(turns)).resolve_scale(y="independent", color="independent") if turns else base
    caption = (
        "Each column is a stretch of training; shade is the share of latents that fired so often in it, the band at the bottom "
        "those that did not fire at all. " + _told(rows)
    )
    return Figure(name=f"life_{i}", title=f"The life of the dictionary: {names[i]}", caption=caption, chart=chart)


def _windows(rows: Sequence[Mapping[str, Any]]) -> list[_Window]:
    """At most `_MAX_COLUMNS` columns; counts are means over the rows joined, deaths and revivals sums."""
    starts = [0.0, *(float(row["tokens"]) for row in rows[:-1])]
    size = math.ceil(len(rows) / _MAX_COLUMNS)
    joined: list[_Window] = []
    for first in range(0, len(rows), size):
        held = rows[first : first + size]
        counts = zip(*(row["density"] for row in held), strict=True)
        joined.append(
            _Window(
                start=starts[first],
                end=float(held[-1]["tokens"]),
                density=[sum(each) / len(held) for each in counts],
                silent=sum(row["silent"] for row in held) / len(held),
                deaths=sum(row["deaths"] for row in held),
                revivals=sum(row["revivals"] for row in held),
            )
        )
    return joined


def _map(names: Sequence[str], name: str, windows: list[_Window], *, edges: list[float], lowest: int) -> alt.Chart:
    """The shares as rectangles: windows by powers of ten."""
    bottom = edges[lowest] - _SILENT_GAP - _SILENT_HEIGHT
    cells = [cell | {"sae": name} for w in windows for cell in _cells(w, edges=edges, lowest=lowest, bottom=bottom)]
    silent_at = bottom + _SILENT_HEIGHT / 2
    powers = [float(p) for p in range(math.ceil(edges[lowest]), 1)]
    label = f"datum.value < {edges[lowest] - _SILENT_GAP / 2} ? 'silent' : format(pow(10, datum.value), '~g')"
    axis = alt.Axis(values=[silent_at, *powers], labelExpr=label, grid=False, orient="left")
    y = alt.Y("low:Q", title="share of tokens on which a latent fires", scale=alt.Scale(domain=[bottom, 0.0]), axis=axis)
    return (
        alt.Chart(alt.Data(values=cells))
        .mark_rect(strokeWidth=0)
        .encode(
            x=alt.X("start:Q", title="tokens", scale=alt.Scale(nice=False), axis=alt.Axis(labelExpr=_SHORT, tickCount=6)),
            x2="end:Q",
            y=y,
            y2="high:Q",
            color=by_sae(names).legend(None),
            opacity=alt.Opacity("share:Q", scale=alt.Scale(type="pow", exponent=0.6, range=[0.04, 1]), legend=None),
            tooltip=[
                alt.Tooltip("fires:N", title="fires on"),
                alt.Tooltip("latents:Q", format=",.0f", title="latents"),
                alt.Tooltip("end:Q", format=",.0f", title="until token"),
            ],
        )
    )


def _cells(window: _Window, *, edges: list[float], lowest: int, bottom: float) -> list[dict[str, Any]]:
    """The rectangles of a column that hold a latent."""
    total = sum(window.density) + window.silent
    place = {"start": window.start, "end": window.end}
    found = [(edges[j], edges[j + 1], n) for j, n in enumerate(window.density) if n and j >= lowest]
    cells: list[dict[str, Any]] = [
        {"low": low, "high": high, "latents": n, "share": n / total, "fires": f"{10**low:.1g} to {10**high:.1g}"}
        for low, high, n in found
    ]
    if window.silent:
        silent = {"latents": window.silent, "share": window.silent / total, "fires": "nothing"}
        cells.append({"low": bottom, "high": bottom + _SILENT_HEIGHT, **silent})
    return [place | cell for cell in cells]


def _turns(window: _Window) -> list[dict[str, Any]]:
    middle = (window.start + window.end) / 2
    counts = {"deaths": window.deaths, "revivals": window.revivals}
    return [{"tokens": middle, "latents": counts[field], "turn": name} for field, (name, _) in _TURNS.items()]


def _lines(turns: list[dict[str, Any]]) -> alt.Chart:
    """Deaths and revivals of each window, on an axis of their own."""
    named = [name for name, _ in _TURNS.values()]
    colors = [color for _, color in _TURNS.values()]
    return (
        alt.Chart(alt.Data(values=turns))
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=14, opacity=1))
        .encode(
            x="tokens:Q",
            y=alt.Y("latents:Q", title="latents that died or came back", axis=alt.Axis(orient="right", grid=False, tickCount=4)),
            color=alt.Color(
                "turn:N", scale=alt.Scale(domain=named, range=colors), sort=named, legend=alt.Legend(symbolType="stroke")
            ),
            tooltip=[alt.Tooltip("turn:N", title="they"), alt.Tooltip("latents:Q", format=",")],
        )
    )


def _told(rows: Sequence[Mapping[str, Any]]) -> str:
    """The sums in words."""
    deaths, revivals, dead = (sum(row["deaths"] for row in rows), sum(row["revivals"] for row in rows), rows[-1]["dead"])
    if not (deaths or revivals or dead):
        return "None died."
    return (
        f"{deaths:,} times one died and {revivals:,} times one came back (lines); {dead:,} are dead at the end: they had not "
        "fired for as many tokens as `dead_after_tokens` says."
    )
