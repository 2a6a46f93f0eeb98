"""Figures of latents over layers: shares of the variance, where latents are, the shape of their distributions, what is lost."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import torch

from monoseme.core.intervals import Z_95
from monoseme.evaluation import EvalResult
from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._base import Row
from monoseme.studies._layers.embeddings import Nearest
from monoseme.studies._layers.latents import Latents
from monoseme.studies._layers.tables import interval_of
from monoseme.tensors.shapes import Float, Tensor

_SHARES = {
    "between_latents": "between latents",
    "between_tokens": "between tokens",
    "within_firing": "within one firing",
}
_PANEL, _HEIGHT = 330, 200
_BINS_PER_LAYER = 16
"""As MLSAE's histograms have."""
_SHAPES = {
    "layer_std": "standard deviation (layers)",
    "layer_entropy": "entropy (nats)",
    "bimodality": "bimodality coefficient",
    "valley": "valley between two peaks",
    "n_layers": "layers",
    "share_at_token": "share of its variance at one token",
}
_N_BINS = 40
_SITE_PANELS = {
    "fvu": "FVU",
    "l0": "L0",
    "l1": "L1",
    "ce_increase": "cross-entropy added (nats)",
    "kl": "KL divergence (nats)",
    "logit_mse": "squared error of logits",
}
_CELLS = 48
"""Of the map of counts and totals, each way."""


def variance_shares(spreads: Mapping[str, EvalResult]) -> Figure:
    """The law of total variance, with intervals over documents."""
    found = [
        Estimate(name, interval.value, interval.low, interval.high, panel="share of the variance of the layer", group=words)
        for name, result in spreads.items()
        for metric, words in _SHARES.items()
        if (interval := interval_of(result, metric)) is not None
    ]
    return interval_dots(
        "variance_shares",
        found,
        title="What makes the layer of an activation vary",
        caption="The three shares of an SAE sum to 1. Between latents: each has a layer of its own. Between tokens: a latent is "
        "at one layer on one token and at another on the next. Within one firing: it is at several layers at once. Bars are 95 % "
        "intervals over documents.",
    )


def mean_layers(latents: Sequence[Latents]) -> Figure:
    """How many latents have which mean layer, and how far that is from a whole layer."""
    charts: list[Any] = []
    for each in latents:
        mean, position = each.mean[each.alive], each.position
        span = float(position[-1] - position[0])
        apart = (position[:, None] - mean).abs().amin(0)
        charts.append(_histogram(mean, _BINS_PER_LAYER * len(position), each.sae, "mean layer", float(position[0]), span))
        reach = float(position.diff().abs().max()) / 2
        charts.append(_histogram(apart, _BINS_PER_LAYER * 2, each.sae, "distance of the mean to the nearest layer", 0.0, reach))
    return Figure(
        name="mean_layers",
        title="Which layer latents are at on average",
        caption="Peaks at whole numbers, and at distance 0, are latents that act at one layer; those between act at several. A "
        "flat right panel is what one expects of means that know no layers.",
        chart=alt.concat(*charts, columns=2, spacing=26),
        has_own_size=True,
    )


def _histogram(values: Float[Tensor, " n"], n_bins: int, sae: str, title: str, low: float, span: float) -> Any:
    width = (span or 1.0) / n_bins
    place = ((values - low) / width).long().clamp(0, n_bins - 1)
    bins = torch.bincount(place, minlength=n_bins)
    rows = [{"low": low + i * width, "high": low + (i + 1) * width, "latents": int(n)} for i, n in enumerate(bins) if n]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(stroke=None, binSpacing=0)
        .encode(
            x=alt.X("low:Q", title=title, scale=alt.Scale(domain=[low, low + span], nice=False), axis=alt.Axis(tickCount=6)),
            x2="high:Q",
            y=alt.Y("latents:Q", title=f"latents of {sae}", axis=alt.Axis(tickCount=4, format="~s")),
            y2=alt.datum(0),
            tooltip=[alt.Tooltip("low:Q", format=".3~f", title="from"), alt.Tooltip("latents:Q", format=",")],
        )
        .properties(width=n_bins * max(1, round(_PANEL / n_bins)), height=_HEIGHT)
    )


def shapes(rows: Sequence[Row]) -> Figure:
    """How the numbers that describe P(l | j) are spread over latents: the share of latents up to each value."""
    saes = list(dict.fromkeys(row["sae"] for row in rows))
    charts: list[Any] = []
    for name, title in _SHAPES.items():
        points = [point for sae in saes for point in _cumulative(sae, [r[name] for r in rows if r["sae"] == sae])]
        charts.append(
            alt.Chart(alt.Data(values=points))
            .mark_line(interpolate="step-after", strokeWidth=1.8)
            .encode(
                x=alt.X("value:Q", title=title, scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(tickCount=5, format="~g")),
                y=alt.Y("share:Q", title="latents up to there", axis=alt.Axis(format="~%", tickCount=5)),
                color=alt.Color("sae:N", scale=alt.Scale(domain=saes), sort=saes, legend=alt.Legend() if len(saes) > 1 else None),
                tooltip=["sae:N", alt.Tooltip("value:Q", format=".3~g"), alt.Tooltip("share:Q", format=".1%")],
            )
            .properties(width=_PANEL, height=150)
        )
    return Figure(
        name="shapes",
        title="The shape of P(layer | latent), over latents that fire",
        caption="Each line rises from none to all latents. A bimodality of 5/9 is that of a uniform distribution, 1 of two "
        "points; a valley of 0 means one peak. Last panel: 0 for latents that wander from token to token, 1 for those that act "
        "at their layers all at once.",
        chart=alt.concat(*charts, columns=2, spacing=24).resolve_scale(color="shared"),
        has_own_size=True,
    )


def _cumulative(sae: str, values: Sequence[float | None]) -> list[dict[str, Any]]:
    held = torch.tensor([value for value in values if value is not None], dtype=torch.float64)
    if not len(held):
        return []
    levels = torch.linspace(0, 1, 101, dtype=torch.float64)
    at = held.quantile(levels, interpolation="lower")
    share = [float((held <= value).double().mean()) for value in at]
    return [{"sae": sae, "value": float(v), "share": s} for v, s in dict.fromkeys(zip(at.tolist(), share, strict=True))]


def counts_and_totals(latents: Latents, *, file: str) -> Figure:
    """How often a latent fires against how much activation it has, shaded by mean layer."""
    alive = latents.alive
    count, total = latents.counts.sum(0)[alive].double().log10(), latents.totals.sum(0)[alive].log10()
    low, span = count.min(), (count.max() - count.min()).clamp(min=1e-9)
    floor, reach = total.min(), (total.max() - total.min()).clamp(min=1e-9)
    x = ((count - low) / span * _CELLS).long().clamp(max=_CELLS - 1)
    y = ((total - floor) / reach * _CELLS).long().clamp(max=_CELLS - 1)
    cells: dict[tuple[int, int], list[int]] = {}
    for i, key in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        cells.setdefault(key, []).append(i)
    rows = [
        {
            "count": 10 ** float(low + (a + 0.5) * span / _CELLS),
            "total": 10 ** float(floor + (b + 0.5) * reach / _CELLS),
            "latents": len(members),
            "mean": float(latents.mean[alive[members]].mean()),
        }
        for (a, b), members in cells.items()
    ]
    scale = alt.Scale(type="log", nice=False, padding=12)
    whole = latents.position.tolist()
    first, last = latents.position.min(), latents.position.max()  # the weakest shades, too near the page's, stay unused
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_circle(opacity=1)
        .encode(
            x=alt.X("count:Q", title="firings, all layers (log)", scale=scale, axis=_powers()),
            y=alt.Y("total:Q", title="activation (log)", scale=scale, axis=_powers()),
            size=alt.Size("latents:Q", scale=alt.Scale(range=[16, 160]), legend=None),
            color=alt.Color(
                "mean:Q",
                scale=alt.Scale(range="heatmap", interpolate="lab", domain=[float(first - (last - first) / 3), float(last)]),
                legend=alt.Legend(
                    title="mean layer", gradientLength=160, gradientThickness=9, direction="horizontal", values=whole
                ),
            ),
            tooltip=[alt.Tooltip("latents:Q"), alt.Tooltip("mean:Q", format=".2f", title="mean layer")],
        )
    )
    return Figure(
        name=f"counts_totals_{file}",
        title=f"How often and how strongly latents of {latents.sae} fire",
        caption="A dot is latents of like counts and like totals, the larger the more, shaded by the mean of their mean layers. "
        "Along a diagonal all firings are alike in strength; above it are latents that fire strongly.",
        chart=chart,
        height=300,
    )


def _powers() -> alt.Axis:
    return alt.Axis(values=[10.0**power for power in range(-9, 13)], format="~s")


def embedding_lines(nearest: Mapping[str, Sequence[Nearest]], means: Mapping[str, Float[Tensor, " F"]]) -> Figure:
    """Largest cosine with an embedding by mean layer: quartiles of latents in bins of half a layer."""
    rows: list[dict[str, Any]] = []
    for sae, found in nearest.items():
        for each in found:
            bins = (means[sae] * 2).round() / 2
            for at in bins.unique().tolist():
                q = each.cosine[bins == at, 0].quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
                rows.append({"embedding": f"{sae}, {each.embedding}", "layer": at, "low": float(q[0]), "mid": float(q[1]),
                             "high": float(q[2]), "chance": each.by_chance})  # fmt: skip
    names = list(dict.fromkeys(row["embedding"] for row in rows))
    color = alt.Color("embedding:N", scale=alt.Scale(domain=names), sort=names, legend=alt.Legend(labelLimit=260))
    base = alt.Chart(alt.Data(values=rows)).encode(x=alt.X("layer:Q", title="mean layer of the latents"), color=color)
    y = alt.Y("low:Q", title="largest cosine with an embedding", axis=alt.Axis(tickCount=5))
    layers = [
        base.mark_area(opacity=0.18).encode(y=y, y2="high:Q"),
        base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=40, opacity=1)).encode(
            y="mid:Q", tooltip=["embedding:N", "layer:Q", alt.Tooltip("mid:Q", format=".3f", title="median")]
        ),
        base.mark_line(strokeWidth=1.2, strokeDash=[4, 3]).encode(y="chance:Q"),
    ]
    return Figure(
        name="nearest_embeddings",
        title="How near latents are to the embedding of one token",
        caption="Median and middle half of latents with that mean layer; dashed: random directions. Latents high above it stand "
        "for a token, at the first layers for one that was read, at the last for one that will be said.",
        chart=alt.layer(*layers),
    )


def site_lines(rows: Sequence[Row]) -> Figure:
    """What each SAE loses at each layer: small charts of lines, a point for an SAE of one layer."""
    saes, order = list(dict.fromkeys(row["sae"] for row in rows)), _layers(rows)
    legend = alt.Legend(columns=6, labelLimit=200) if len(saes) > 1 else None
    color = alt.Color("sae:N", scale=alt.Scale(domain=saes), sort=saes, legend=legend)
    shape = alt.Shape("sae:N", scale=alt.Scale(domain=saes), sort=saes, legend=legend)
    charts: list[Any] = []
    for name, title in _SITE_PANELS.items():
        values = [{"sae": row["sae"], "layer": _layer(row), **_ends(row, name)} for row in rows if row.get(name) is not None]
        if not values:
            continue
        base = alt.Chart(alt.Data(values=values)).encode(
            x=alt.X(
                "layer:N",
                title="layer",
                sort=order,
                scale=alt.Scale(domain=order),
                axis=alt.Axis(labelAngle=0, labelOverlap=True),
            ),
            color=color,
        )
        y = alt.Y("low:Q", title=title, scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(format="~g", tickCount=4))
        bars = base.mark_rule(strokeWidth=1.6).encode(y=y, y2="high:Q")
        lines = base.mark_line(strokeWidth=1.5).encode(y="value:Q")
        dots = base.mark_point(size=50, filled=True, opacity=1).encode(
            y="value:Q", shape=shape, tooltip=["sae:N", "layer:N", alt.Tooltip("value:Q", format=".4~g", title=title)]
        )
        layered: Any = alt.layer(bars, lines, dots)  # altair says it could become a FacetChart
        charts.append(layered.properties(width=_PANEL, height=160))
    return Figure(
        name="site_losses",
        title="What is lost at each layer",
        caption="An SAE of several layers has a line, one of a single layer a point. The model runs on with one layer's "
        "reconstruction in place of its activations. L1 is in the unit of the codes, that of standardised vectors where an SAE "
        "standardises. Bars are 95 % intervals over documents.",
        chart=alt.concat(*charts, columns=2, spacing=24).resolve_scale(color="shared", shape="shared"),
        has_own_size=True,
    )


def _layers(rows: Sequence[Row]) -> list[str]:
    return sorted({_layer(row) for row in rows}, key=lambda name: (len(name), name))


def _layer(row: Row) -> str:
    return row["site"].removeprefix("resid_post.")


def _ends(row: Row, name: str) -> dict[str, float]:
    half = Z_95 * (row[f"{name}_error"] or 0.0)
    return {"value": row[name], "low": row[name] - half, "high": row[name] + half}
