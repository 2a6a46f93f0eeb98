"""Figures of pairs of dictionaries: how similar the best partners are, whether both criteria agree, how often partners fire."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from monoseme.evaluation import Nearest, paired_correlations
from monoseme.reports.figures import Figure
from monoseme.studies._dictionaries.pairs import COSINE, Pair, at_least

_PANEL_WIDTH, _PANEL_HEIGHT = 330, 190
_MAP_PIXELS = 250
_BIN = 0.025
_MAP_BINS = 32
_KINDS = ("another dictionary", "its own dictionary", "random directions")
_LEAST_SHADE = 0.3
"""Where the scale of shades begins, so that a single latent is seen."""
_SHADES = (1, 3, 10, 30, 100, 300, 1000)
STROKES = alt.Legend(symbolType="stroke", symbolStrokeWidth=2.4)
_LOG_LEAST = -5.0
"""Rarest density drawn, as a power of ten; rarer ones are drawn there."""


class _Bins(NamedTuple):
    """Even bins of one axis."""

    start: float
    stop: float

    def of(self, values: np.ndarray) -> np.ndarray:
        """Number of the bin of each value; what is outside counts in the last bin of that side."""
        scaled = (values - self.start) / (self.stop - self.start) * _MAP_BINS
        return np.clip(np.floor(scaled + 1e-9), 0, _MAP_BINS - 1).astype(np.int64)  # an edge belongs to the bin above it

    def edge(self, number: int) -> float:
        """Where a bin begins."""
        return self.start + (self.stop - self.start) * number / _MAP_BINS


def best_cosines(pairs: Sequence[Pair], within: Mapping[str, Nearest]) -> Figure:
    """Distributions of the largest cosine, a panel for each pair: with the other dictionary, with its own, with random rows."""
    drawn = [_distribution_rows(pair, within[pair.a.name]) for pair in pairs]
    least = min((row["cosine"] for rows in drawn for row in rows), default=0.0)
    highest = max((row["share"] for rows in drawn for row in rows), default=1.0)
    charts = [_distribution(pair.name, rows, least=least, highest=highest) for pair, rows in zip(pairs, drawn, strict=True)]
    return Figure(
        name="best_cosines",
        title="The most similar direction of each latent",
        caption="Share of a dictionary's latents by the largest cosine of their direction with one of another dictionary, with "
        "another latent of their own, and with as many random directions. What chance does not reach is shared latents.",
        chart=alt.concat(*charts, columns=2, spacing=26).resolve_scale(color="shared", strokeDash="shared"),
        has_own_size=True,
    )


def _distribution_rows(pair: Pair, own: Nearest) -> list[dict[str, Any]]:
    found = zip(_KINDS, (pair.by[COSINE].nearest, own, pair.chance["random"]), strict=True)
    return [row for kind, nearest in found for row in _shares(kind, nearest.similarity)]


def _distribution(title: str, values: list[dict[str, Any]], *, least: float, highest: float) -> alt.Chart:
    across, up = alt.Scale(domain=[least, 1.0], nice=False), alt.Scale(domain=[0, highest])
    dashes = alt.Scale(domain=list(_KINDS), range=[[1, 0], [1, 0], [5, 3]])
    return (
        alt.Chart(alt.Data(values=values), title=alt.Title(title, fontSize=12, fontWeight="normal"))
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=alt.X("cosine:Q", title="largest cosine", scale=across, axis=alt.Axis(format="~g")),
            y=alt.Y("share:Q", title="share of latents", scale=up, axis=alt.Axis(format="~%", tickCount=4)),
            color=alt.Color("kind:N", scale=alt.Scale(domain=list(_KINDS)), sort=list(_KINDS), legend=STROKES),
            strokeDash=alt.StrokeDash("kind:N", scale=dashes, sort=list(_KINDS), legend=STROKES),
            tooltip=["kind:N", alt.Tooltip("cosine:Q", format=".3f", title="from"), alt.Tooltip("share:Q", format=".2%")],
        )
        .properties(width=_PANEL_WIDTH, height=_PANEL_HEIGHT)
    )


def _shares(kind: str, cosines: np.ndarray) -> list[dict[str, Any]]:
    """Share of latents by bin, from the first that holds one to 1; empty ends close the steps."""
    held = cosines[np.isfinite(cosines)]
    if not len(held):
        return []
    bins = np.floor(np.minimum(held, 1 - 1e-9) / _BIN).astype(int)
    first, last = int(bins.min()), int(bins.max())
    counts = np.bincount(bins - first, minlength=last - first + 1)
    heights = [0.0, *(counts / len(held)), 0.0]
    return [{"kind": kind, "cosine": (first - 1 + i) * _BIN, "share": float(h)} for i, h in enumerate(heights)]


def criteria_map(pairs: Sequence[Pair]) -> Figure:
    """Latents binned by the cosine with their nearest direction and the correlation of the two codes."""
    maps: list[_Map] = []
    for pair in pairs:
        cosine = pair.by[COSINE].nearest.similarity
        together = paired_correlations(pair.a.codes, pair.nearest_of(COSINE).codes)
        held = np.isfinite(cosine) & np.isfinite(together)
        low = min(0.0, float(np.floor(cosine[held].min() * 10) / 10)) if held.any() else 0.0
        axes = (_Axis("cosine with the nearest direction", _Bins(low, 1.0)), _Axis("correlation of the codes", _Bins(-0.2, 1.0)))
        maps.append(_Map(pair.name, cosine[held], together[held], axes))
    return Figure(
        name="cosine_and_correlation",
        title="Do latents with the same direction fire on the same tokens?",
        caption="Each latent by the cosine with its nearest direction in the other dictionary and the correlation of the two "
        "codes over tokens; shades count latents (log). At the upper right both criteria say that a latent is shared.",
        chart=_beside(maps),
        has_own_size=True,
    )


def density_map(pairs: Sequence[Pair], *, least_cosine: float) -> Figure | None:
    """Densities of matched latents against each other; None where no pair has a match."""
    maps: list[_Map] = []
    for pair in pairs:
        similarity = pair.by[COSINE].nearest.similarity
        kept = np.flatnonzero(at_least(similarity, least_cosine))
        if len(kept):
            ours, theirs = (np.log10(d[kept]) for d in (pair.a.density, pair.nearest_of(COSINE).density))
            bins = _Bins(_LOG_LEAST, 0.0)
            axes = (_Axis(f"density in {pair.a.name}", bins, is_log=True), _Axis(f"in {pair.b.name}", bins, is_log=True))
            maps.append(_Map(pair.name, ours, theirs, axes))
    if not maps:
        return None
    return Figure(
        name="matched_densities",
        title="Do matched latents fire equally often?",
        caption=f"Latents with a partner at cosine {least_cosine:g} or more, by the share of tokens on which each of the two "
        "fires (log axes); shades count latents (log). On the line both fire equally often; above it the partner fires more.",
        chart=_beside(maps),
        has_own_size=True,
    )


class _Axis(NamedTuple):
    """One axis of a map."""

    title: str
    bins: _Bins
    is_log: bool = False
    """Whether values are powers of ten."""

    def scale(self) -> alt.Scale:
        return alt.Scale(domain=[self.bins.start, self.bins.stop], nice=False, zero=False)

    def axis(self) -> alt.Axis:
        if not self.is_log:
            return alt.Axis(format="~g", tickCount=5, grid=False)
        words = "datum.value >= -3 ? format(pow(10, datum.value), '~g') : format(pow(10, datum.value), '.0e')"
        return alt.Axis(values=list(range(int(_LOG_LEAST), 1)), labelExpr=words, grid=False)


class _Map(NamedTuple):
    """What one map shows."""

    title: str
    x: np.ndarray
    y: np.ndarray
    axes: tuple[_Axis, _Axis]

    def cells(self) -> list[dict[str, float]]:
        """Those that hold a latent."""
        across, up = (axis.bins for axis in self.axes)
        key, n_latents = np.unique(across.of(self.x) * _MAP_BINS + up.of(self.y), return_counts=True)
        made: list[dict[str, float]] = []
        for k, n in zip(key.tolist(), n_latents.tolist(), strict=True):
            i, j = divmod(k, _MAP_BINS)
            edges = {"x": across.edge(i), "x2": across.edge(i + 1), "y": up.edge(j), "y2": up.edge(j + 1)}
            made.append(edges | {"latents": n})
        return made


def _beside(maps: Sequence[_Map]) -> alt.ConcatChart:
    """Side by side, with one scale of shades."""
    cells = [each.cells() for each in maps]
    most = max((cell["latents"] for held in cells for cell in held), default=1.0)
    charts = [_drawn(each, held, most=max(most, 2.0)) for each, held in zip(maps, cells, strict=True)]
    return alt.concat(*charts, columns=2, spacing=30).resolve_scale(color="shared")


def _drawn(shown: _Map, values: list[dict[str, float]], *, most: float) -> alt.LayerChart | alt.FacetChart:
    across, up = shown.axes
    ticks = [shade for shade in _SHADES if shade <= most]
    shade = alt.Color(
        "latents:Q",
        scale=alt.Scale(type="log", range="heatmap", domain=[_LEAST_SHADE, most]),
        legend=alt.Legend(title="latents", gradientLength=200, gradientThickness=10, format="~s", values=ticks),
    )
    cells = (
        alt.Chart(alt.Data(values=values), title=alt.Title(shown.title, fontSize=12, fontWeight="normal"))
        .mark_rect(stroke=None)
        .encode(
            x=alt.X("x:Q", title=across.title, scale=across.scale(), axis=across.axis()),
            x2="x2:Q",
            y=alt.Y("y:Q", title=up.title, scale=up.scale(), axis=up.axis()),
            y2="y2:Q",
            color=shade,
            tooltip=[alt.Tooltip("latents:Q", format=",")],
        )
    )
    start, stop = max(across.bins.start, up.bins.start), min(across.bins.stop, up.bins.stop)
    ends = {"x": start, "y": start, "x2": stop, "y2": stop}
    diagonal = alt.Chart(alt.Data(values=[ends])).mark_rule(strokeDash=[4, 3], strokeWidth=1)
    diagonal = diagonal.encode(x="x:Q", y="y:Q", x2="x2:Q", y2="y2:Q")
    return alt.layer(cells, diagonal).properties(width=_MAP_PIXELS, height=_MAP_PIXELS)
