"""Which figures a run's report has, in their order; one that lacks its data is left out."""

from monoseme.reports._data import RunReport, SaeReport
from monoseme.reports.figures import (
    Figure,
    density_histogram,
    dictionary_life,
    fvu_against_l0,
    l0_distribution,
    model_losses,
    scores_by_decile,
    training_curves,
    variation_over_time,
)
from monoseme.reports.figures.quality import LOSS_NAMES


def figures_of(report: RunReport) -> list[Figure]:
    """All figures of the report."""
    # Figures colour SAEs in the order in which they meet them: one order, one colour in every figure.
    order = {sae.name: i for i, sae in enumerate(report.saes)}
    training = sorted(report.training, key=lambda row: order.get(str(row.get("sae")), len(order)))
    life = dictionary_life(report.training, list(order))
    over_time = {sae.name: table.to_pylist() for sae in report.saes if (table := sae.table("parts")) is not None}
    variation = [variation_over_time(over_time)] if over_time else []
    explained = scores_by_decile({sae.name: sae.scores for sae in report.saes})
    return [*_quality(report.saes), *variation, *_latents(report.saes), *explained, *training_curves(training), *life]


def _quality(saes: tuple[SaeReport, ...]) -> list[Figure]:
    losses = {sae.name: [m for m in sae.metrics() if m.name in LOSS_NAMES and m.value is not None] for sae in saes}
    losses = {name: found for name, found in losses.items() if found}
    pairs = {sae.name: (sae.metric("l0"), sae.metric("fvu")) for sae in saes}
    points = {
        name: (l0, fvu)
        for name, (l0, fvu) in pairs.items()
        if l0 is not None and fvu is not None and l0.value is not None and fvu.value is not None
    }
    return [
        *([model_losses(losses)] if losses else []),
        *([fvu_against_l0(points)] if len(points) > 1 else []),
    ]


def _latents(saes: tuple[SaeReport, ...]) -> list[Figure]:
    density = {sae.name: table for sae in saes if (table := sae.table("density")) is not None}
    l0 = {sae.name: table for sae in saes if (table := sae.table("l0")) is not None}
    counts = {metric.n for sae in saes if sae.name in density and (metric := sae.metric("dead_fraction")) is not None}
    n_tokens = counts.pop() if len(counts) == 1 else None
    return [*([density_histogram(density, n_tokens=n_tokens)] if density else []), *([l0_distribution(l0)] if l0 else [])]
