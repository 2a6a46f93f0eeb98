"""The part of a model card that tells what was measured: numbers with intervals, and why a number is missing."""

from monoseme.core.intervals import Z_95
from monoseme.evaluation import Metric
from monoseme.hub._text import shown, table
from monoseme.reports import RunReport

_METRICS = ("fvu", "explained_variance", "cosine", "l2_ratio", "l0", "dead_fraction", "dense_fraction", "ce_original",
            "ce_spliced", "ce_increase", "ce_recovered", "kl", "smoothness_tv_relative", "predicted_share")  # fmt: skip
"""Told in this order, of those that were measured; `evaluations/` has all."""


def measured(report: RunReport | None) -> str:
    """Markdown with every metric of `_METRICS` that was measured, a column for each SAE; None: there is no run."""
    saes = () if report is None else report.saes
    known = {sae.name: {metric.name: metric for metric in sae.metrics()} for sae in saes}
    names = [name for name in _METRICS if any(name in found for found in known.values())]
    if not names:
        return "## What was measured\n\nNothing, with what was sent: no evaluation of it is here."
    rows: list[tuple[str, ...]] = []
    for name in names:
        metric = next(found[name] for found in known.values() if name in found)
        arrow = {"higher": " ↑", "lower": " ↓"}.get(metric.better, "")
        cells = (_number(found.get(name)) for found in known.values())
        rows.append((f"`{name}`{arrow}", shown(metric.unit), *cells))
    first = next(metric for found in known.values() for metric in found.values())
    meant = [f"- `{n}`: {shown(next(f[n] for f in known.values() if n in f).definition, most=400)}" for n in names]
    given = report is not None and report.has_given_saes
    where = (
        "documents of the text named above, which their training may have seen"
        if given
        else "held-out documents of the same text"
    )
    note = (
        f"On {where} ({first.n:,} tokens of {first.n_documents:,} documents for the first of them). "
        "In brackets: 95 % intervals, 1.96 standard errors of a bootstrap over documents. Arrows point to what is better."
    )
    definitions = "<details><summary>Definitions</summary>\n\n" + "\n".join(meant) + "\n\n</details>"
    return "\n\n".join(["## What was measured", note, table(("metric", "unit", *(f"`{s}`" for s in known)), rows), definitions])


def _number(metric: Metric | None) -> str:
    if metric is None:
        return "not measured"
    if metric.value is None:
        return f"missing: {shown(metric.why_missing or 'no reason given')}"
    if not metric.standard_error:
        return f"{metric.value:.4g}"
    low, high = metric.value - Z_95 * metric.standard_error, metric.value + Z_95 * metric.standard_error
    return f"{metric.value:.4g} &#91;{low:.4g}, {high:.4g}&#93;"
