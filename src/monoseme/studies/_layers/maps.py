"""Heat maps of latents by layer: probabilities, counts and totals, latents sorted by their mean layer.

Thousands of latents do not fit into a picture: neighbours in that order share a row, which shows their mean.
Source: MLSAE's `dists_heatmaps` and `prompt_heatmaps`, whose colours grow with the fourth root (PowerNorm, gamma 0.25).
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import torch

from monoseme.evaluation._layer_pairs import PairGrid
from monoseme.evaluation._layer_statistics import layer_statistics
from monoseme.reports.figures import Figure
from monoseme.studies._layers.latents import Latents
from monoseme.tensors.shapes import Float, Tensor

_MOST_ROWS = 200
_HEIGHT, _LEAST_WIDTH, _COLUMN, _MOST_WIDTH = 400, 130, 24, 260
"""Pixels: of a map, and of its width by layers."""
_GAMMA = 0.25
_LEAST_PAIRS = 20
"""Of a bin, for its mean to be drawn."""
_MEAN = "mean gap"


def aggregated_map(latents: Latents) -> Figure:
    """Over all tokens: P(l | j), counts and totals side by side."""
    order = latents.alive
    panels = {
        "P(layer | latent)": latents.probs[:, order],
        "firings": latents.counts[:, order].double(),
        "activation": latents.totals[:, order],
    }
    charts = [_map(title, values, latents.sites) for title, values in panels.items()]
    return Figure(
        name=f"layers_{file_name(latents.sae)}",
        title=f"Where the latents of {latents.sae} act, over all tokens",
        caption=f"{len(order):,} latents that fire, from the earliest mean layer (top) to the latest; {_joined(len(order))} "
        "Strong cells along one diagonal mean that each latent has its layer; a band as wide as the map, that latents act "
        "everywhere. Shades grow with the fourth root.",
        chart=alt.concat(*charts, columns=3, spacing=30).resolve_scale(color="independent"),
        has_own_size=True,
    )


def prompt_map(latents: Latents, totals: Float[Tensor, "L F"], prompt: str) -> Figure | None:
    """On one prompt: P(l | j) there, and the activation; None where no latent fires."""
    found = layer_statistics(totals, latents.position)
    fires = found.mean.isfinite().nonzero().squeeze(1)
    order = fires[found.mean[fires].argsort(stable=True)]
    if not len(order):
        return None
    charts = [
        _map("P(layer | latent) on the prompt", found.probs[:, order], latents.sites),
        _map("activation on the prompt", totals[:, order], latents.sites),
        _map("P(layer | latent) over all tokens", latents.probs[:, order].nan_to_num(nan=0.0), latents.sites),
    ]
    return Figure(
        name=f"prompt_{file_name(latents.sae)}",
        title=f"Where the latents of {latents.sae} act on one prompt",
        caption=f"“{prompt}” — {len(order):,} latents fire, from the earliest mean layer on it (top) to the latest; "
        f"{_joined(len(order))} The sharper the left map against the right one, the more a latent's layer hangs on the token.",
        chart=alt.concat(*charts, columns=3, spacing=30).resolve_scale(color="independent"),
        has_own_size=True,
    )


def _joined(n: int) -> str:
    per_row = -(-n // _MOST_ROWS)
    return "a row each." if per_row == 1 else f"each row is the mean of {per_row} neighbours."


def _map(title: str, values: Float[Tensor, "L n"], sites: Sequence[str]) -> Any:
    per_row = -(-values.shape[1] // _MOST_ROWS)
    rows = [part.mean(1) for part in values.split(per_row, dim=1)]
    cells: list[dict[str, Any]] = [
        {"layer": _short(site), "low": i * per_row, "high": (i + 1) * per_row, "value": float(row[s])}
        for i, row in enumerate(rows)
        for s, site in enumerate(sites)
    ]
    width = min(max(_COLUMN * len(sites), _LEAST_WIDTH), _MOST_WIDTH)
    pixels = max(1, round(_HEIGHT / len(rows)))  # whole ones: rows of part of a pixel have seams
    shade = alt.Scale(type="pow", exponent=_GAMMA, range="heatmap", interpolate="lab", domainMin=0)
    legend = alt.Legend(
        title=title,
        orient="top",
        direction="horizontal",
        gradientLength=width,
        gradientThickness=9,
        tickCount=2,
        format=".2~g" if title.startswith("P(") else ".2~s",
    )
    return (
        alt.Chart(alt.Data(values=cells))
        .mark_rect(stroke=None)
        .encode(
            x=alt.X("layer:N", title="layer", sort=[_short(s) for s in sites], axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y(
                "low:Q",
                title="latents",
                scale=alt.Scale(reverse=True, domain=[0, len(rows) * per_row], nice=False),
                axis=alt.Axis(grid=False),
            ),
            y2="high:Q",
            color=alt.Color("value:Q", scale=shade, legend=legend),
            tooltip=[
                alt.Tooltip("layer:N"),
                alt.Tooltip("low:Q", title="from place"),
                alt.Tooltip("high:Q", title="to place"),
                alt.Tooltip("value:Q", title=title, format=".4~g"),
            ],
        )
        .properties(width=width, height=pixels * len(rows))
    )


def similarity_map(latents: Latents, grid: PairGrid, *, told: str) -> Figure:
    """How many pairs of latents have which decoder cosine and which gap between their mean layers."""
    counts, largest_gap = grid.counts, grid.largest_gap
    n_cosines, n_gaps = counts.shape
    cells = [
        {
            "low": -1 + 2 * c / n_cosines,
            "high": -1 + 2 * (c + 1) / n_cosines,
            "bottom": largest_gap * g / n_gaps,
            "top": largest_gap * (g + 1) / n_gaps,
            "pairs": int(counts[c, g]),
        }
        for c, g in counts.nonzero().tolist()
    ]
    total = counts.sum(1)
    at = (torch.arange(n_gaps, dtype=torch.float64) + 0.5) * largest_gap / n_gaps
    means = [
        {"name": _MEAN, "cosine": -1 + (2 * c + 1) / n_cosines, "gap": float((counts[c] * at).sum() / total[c])}
        for c in (total >= _LEAST_PAIRS).nonzero().squeeze(1).tolist()
    ]
    used = total.nonzero().squeeze(1)
    first, last = int(used.min()), int(used.max()) + 1
    span = [-1 + 2 * first / n_cosines, -1 + 2 * last / n_cosines]
    x = alt.X("low:Q", title="cosine of what they write", scale=alt.Scale(domain=span, nice=False), axis=_axis())
    y = alt.Y("bottom:Q", title="layers between their means", scale=alt.Scale(domain=[0, largest_gap], nice=False), axis=_axis())
    legend = alt.Legend(
        title="pairs (log)", direction="horizontal", gradientLength=160, gradientThickness=9, format="~s", tickCount=3
    )
    shade = alt.Color("pairs:Q", scale=alt.Scale(type="log", range="heatmap", interpolate="lab"), legend=legend)
    tooltip = [alt.Tooltip("low:Q", format=".2f", title="cosine from"), alt.Tooltip("pairs:Q", format=",")]
    squares = alt.Chart(alt.Data(values=cells)).mark_rect(stroke=None)
    squares = squares.encode(x=x, x2="high:Q", y=y, y2="top:Q", color=shade, tooltip=tooltip)
    named = alt.Stroke(
        "name:N", scale=alt.Scale(domain=["", _MEAN], range="category"), legend=alt.Legend(values=[_MEAN], symbolType="stroke")
    )
    line = alt.Chart(alt.Data(values=means)).mark_line(strokeWidth=3).encode(x="cosine:Q", y="gap:Q", stroke=named)
    chart: Any = alt.layer(squares, line)  # altair says it could become a FacetChart
    return Figure(
        name=f"similarity_{file_name(latents.sae)}",
        title=f"Whether latents of {latents.sae} that write alike act at like layers",
        caption="All pairs of latents that fire. The line is the mean gap at each cosine "
        f"(where there are {_LEAST_PAIRS} pairs or more): where it falls to the right, the more alike the closer. {told}",
        chart=chart.properties(width=max(2, round(460 / (last - first))) * (last - first), height=7 * n_gaps),
        has_own_size=True,
    )


def _axis() -> alt.Axis:
    return alt.Axis(tickCount=6, format="~g", grid=False)


def _short(site: str) -> str:
    """`3` of `resid_post.3`, the whole name of other kinds."""
    kind, layer = site.split("@")[0].split(".", 1)
    return layer if kind == "resid_post" and "@" not in site else site


def file_name(sae: str) -> str:
    """A name of figures: letters, digits and underscores."""
    return "".join(c if c.isalnum() else "_" for c in sae).strip("_")
