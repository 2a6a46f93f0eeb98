"""Figures that compare SAEs by what they cost: reconstruction against sparsity, and the model's loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from monoseme.core.intervals import Z_95
from monoseme.evaluation import Metric
from monoseme.reports.figures._figure import Figure
from monoseme.reports.figures._scales import by_sae

LOSS_NAMES = {
    "ce_original": "original",
    "ce_spliced": "SAE spliced in",
    "ce_mean": "mean activation",
    "ce_zero": "zeros",
}
"""Metric -> what stands in place of the activations, best to worst."""


def interval(metric: Metric) -> dict[str, float]:
    """`value`, `low` and `high` of a metric that has a value; without a standard error both ends are the value."""
    if metric.value is None:
        raise ValueError(f"{metric.name} is missing: {metric.why_missing}")
    spread = Z_95 * (metric.standard_error or 0.0)
    return {"value": metric.value, "low": metric.value - spread, "high": metric.value + spread}


def fvu_against_l0(points: Mapping[str, tuple[Metric, Metric]]) -> Figure:
    """FVU over L0, one point per SAE with its interval; `points` maps names to (l0, fvu), both with a value."""
    rows = [{"sae": name, "l0": interval(l0)["value"]} | interval(fvu) for name, (l0, fvu) in points.items()]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("l0:Q", title="L0: latents active on a token", scale=alt.Scale(zero=False, padding=30)),
        color=by_sae(points),
    )
    y = alt.Y("low:Q", title="FVU", scale=alt.Scale(zero=False, padding=20), axis=alt.Axis(format="~g", tickCount=6))
    bars = base.mark_rule(strokeWidth=2).encode(y=y, y2="high:Q")
    dots = base.mark_circle(size=110, opacity=1).encode(
        y=alt.Y("value:Q", title="FVU"),
        tooltip=[
            alt.Tooltip("sae:N", title="SAE"),
            alt.Tooltip("l0:Q", format=".3g", title="L0"),
            alt.Tooltip("value:Q", format=".4g", title="FVU"),
        ],
    )
    caption = "Down is more faithful, left is sparser. Bars are 95 % intervals over documents."
    return Figure(name="fvu_l0", title="Faithfulness against sparsity", caption=caption, chart=alt.layer(bars, dots))


def metric_bars(name: str, metrics: Mapping[str, Metric]) -> Figure:
    """One metric of several SAEs with 95 % intervals; those without a value are left out."""
    shown = {sae: metric for sae, metric in metrics.items() if metric.value is not None}
    rows = [{"sae": sae} | interval(metric) for sae, metric in shown.items()]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("sae:N", title=None, sort=list(shown), axis=alt.Axis(labelLimit=180)), color=by_sae(shown).legend(None)
    )
    unit = next((metric.unit for metric in shown.values()), "")
    bars = base.mark_bar(opacity=0.6, height={"band": 0.55}).encode(
        x=alt.X("value:Q", title=f"{name} ({unit})"), tooltip=["sae:N", alt.Tooltip("value:Q", format=".4g")]
    )
    ends = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    caption = next((metric.definition for metric in shown.values()), "") + " Bars are 95 % intervals over documents."
    return Figure(name=f"metric_{name}", title=name, caption=caption, chart=alt.layer(bars, ends))


def model_losses(metrics: Mapping[str, Sequence[Metric]]) -> Figure:
    """Cross-entropy with different things in place of the activations; name -> the metrics of `LOSS_NAMES` that have a value."""
    order = list(LOSS_NAMES.values())
    rows: list[dict[str, Any]] = [
        {"sae": sae, "run": LOSS_NAMES[metric.name]} | interval(metric)
        for sae, found in metrics.items()
        for metric in found
        if metric.name in LOSS_NAMES and metric.value is not None
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("run:N", title=None, sort=order, axis=alt.Axis(labelLimit=180, grid=True)),
        yOffset=alt.YOffset("sae:N", sort=list(metrics)),
        color=by_sae(metrics),
    )
    x = alt.X("low:Q", title="next-token cross-entropy (nats)", scale=alt.Scale(zero=False, padding=12))
    bars = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q")
    dots = base.mark_circle(size=100, opacity=1).encode(
        x="value:Q",
        tooltip=[
            alt.Tooltip("sae:N", title="SAE"),
            alt.Tooltip("run:N", title="in place of x"),
            alt.Tooltip("value:Q", format=".4f", title="nats"),
        ],
    )
    caption = (
        "The model's loss with its own activations, with the SAE's reconstruction, with their mean and with zeros instead. "
        "The closer the second is to the first, the less the SAE loses of what the model uses."
    )
    return Figure(name="model_losses", title="What the splice costs the model", caption=caption, chart=alt.layer(bars, dots))
