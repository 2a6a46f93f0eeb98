"""What the page says of the numbers: groups of metrics, headlines in words, and which of several SAEs is really better."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from monoseme.core.intervals import Z_95
from monoseme.evaluation import Metric
from monoseme.reports._data import RunReport, SaeReport


class Group(NamedTuple):
    """Metrics that are read together."""

    title: str
    text: str
    names: tuple[str, ...]


GROUPS = (
    Group(
        "The model with the SAE in it",
        "What counts in the end: how much worse the language model predicts when it has to go on from the reconstruction.",
        ("ce_recovered", "ce_recovered_mean", "ce_increase", "kl", "kl_reversed",
         "ce_original", "ce_spliced", "ce_mean", "ce_zero"),
    ),
    Group(
        "Reconstruction",
        "How close the reconstruction is to the activations themselves.",
        ("fvu", "explained_variance", "mse", "squared_error", "l2_error", "cosine", "l2_ratio",
         "relative_reconstruction_bias", "l2_norm_in", "l2_norm_out", "ev_centered_error"),
    ),
    Group(
        "Latents",
        "How many latents the SAE spends on a token, and how many it wastes.",
        ("l0", "l1", "dead_fraction", "dense_fraction"),
    ),
    Group(
        "Over time",
        "How much codes change from one token to the next: what lasts over a text changes little.",
        ("smoothness_tv_relative", "smoothness_tv", "smoothness_lipschitz", "smoothness_fft", "smoothness_wavelet",
         "smoothness_multiscale_variance", "smoothness_multiscale_gradient"),
    ),
)  # fmt: skip

AS_PEERS = Group(
    "As other tools compute them",
    "For comparison with published tables only; where these differ from the numbers above, the numbers above are the ones meant.",
    (),
)

HEADLINES = {
    "ce_recovered": ("CE recovered", "of the loss that zero ablation costs is saved"),
    "fvu": ("FVU", "of the activations' variance is not explained"),
    "l0": ("L0", "latents are active on a token, on average"),
    "dead_fraction": ("Dead", "of the latents fire on none of the {n:,} tokens measured"),
}
"""Metric -> its short name, and how its value, over n tokens, reads as a sentence."""


class Cell(NamedTuple):
    """One number of a table."""

    text: str
    spread: str
    """`± 1.96 standard errors`, or empty."""
    tip: str
    """What hovering tells."""
    best: bool = False


class Row(NamedTuple):
    """A metric over all SAEs."""

    name: str
    unit: str
    arrow: str
    definition: str
    cells: tuple[Cell, ...]


class Table(NamedTuple):
    """A group of rows."""

    title: str
    text: str
    rows: tuple[Row, ...]


def tables(report: RunReport) -> list[Table]:
    """Every metric of every SAE, each exactly once: the groups, the peers' forms, and whatever else evaluations gave."""
    names = list(dict.fromkeys(m.name for sae in report.saes for m in sae.metrics()))
    grouped = {name for group in GROUPS for name in group.names}
    peers = [name for name in names if "_as_" in name]
    rest = [name for name in names if name not in grouped and name not in peers]
    groups = (*GROUPS, Group("More", "From further evaluations.", tuple(rest)), AS_PEERS._replace(names=tuple(peers)))
    made = (Table(g.title, g.text, tuple(_row(report.saes, n) for n in g.names if n in names)) for g in groups)
    return [table for table in made if table.rows]


def _row(saes: Sequence[SaeReport], name: str) -> Row:
    return metric_row([sae.metric(name) for sae in saes])


def metric_row(found: Sequence[Metric | None], *, marks_best: bool = True) -> Row:
    """One metric of several SAEs, of which one at least was measured."""
    known = next(m for m in found if m is not None)
    best = best_of(found) if marks_best else None
    cells = tuple(cell(m, best=i == best) for i, m in enumerate(found))
    return Row(known.name, known.unit, {"higher": "↑", "lower": "↓"}.get(known.better, ""), known.definition, cells)


def best_of(metrics: Sequence[Metric | None]) -> int | None:
    """Which is better than every other by more than 1.96 standard errors of the difference, taken as independent; else None.

    Measured on the same documents the errors are paired and the real difference is known better, so this errs on the safe side.
    """
    known = [(i, m.value, m.standard_error) for i, m in enumerate(metrics) if m is not None and m.value is not None]
    better = next((m.better for m in metrics if m is not None), "neither")
    if better == "neither" or len(known) < 2 or any(error is None for _, _, error in known):
        return None
    sign = 1 if better == "higher" else -1
    first, *others = sorted(known, key=lambda item: -sign * item[1])
    clear = all(sign * (first[1] - v) > Z_95 * math.hypot(first[2] or 0, error or 0) for _, v, error in others)
    return first[0] if clear else None


def cell(metric: Metric | None, *, best: bool = False) -> Cell:
    """How a metric is shown in a table."""
    if metric is None:
        return Cell("–", "", "not measured")
    if metric.value is None:
        return Cell("–", "", f"missing: {metric.why_missing}")
    spread = "" if not metric.standard_error else f"± {_short(Z_95 * metric.standard_error)}"
    error = "no standard error" if metric.standard_error is None else f"standard error {metric.standard_error:.3g}"
    tip = f"{metric.value:.8g} ({error}; n = {metric.n:,} from {metric.n_documents:,} documents)"
    return Cell(number(metric), spread, tip, best)


def number(metric: Metric) -> str:
    """The value with as many digits as its standard error supports, four significant ones at most without one."""
    if metric.value is None:
        return "–"
    if not metric.standard_error or not metric.value:
        return f"{metric.value:.4g}"
    digits = 1 - math.floor(math.log10(metric.standard_error))
    return f"{metric.value:,.{min(max(digits, 0), 6)}f}"


def _short(value: float) -> str:
    return f"{value:.1e}" if value < 1e-4 else f"{value:.2g}"


class Headline(NamedTuple):
    """A large number with its meaning."""

    label: str
    value: str
    meaning: str
    spread: str


def headlines(sae: SaeReport) -> list[Headline]:
    """The numbers one looks at first; fractions are shown as percentages."""
    found = ((sae.metric(name), *words) for name, words in HEADLINES.items())
    return [_headline(metric, label, meaning) for metric, label, meaning in found if metric is not None]


def _headline(metric: Metric, label: str, meaning: str) -> Headline:
    if metric.value is None:
        return Headline(label, "–", f"missing: {metric.why_missing}", "")
    percent = metric.unit == "fraction"
    value = f"{metric.value:.1%}" if percent else f"{metric.value:.1f}"
    spread = Z_95 * (metric.standard_error or 0)
    meaning = meaning.format(n=metric.n)
    return Headline(label, value, meaning, "" if not spread else f"± {100 * spread:.2g}%" if percent else f"± {spread:.2g}")


class DomainRow(NamedTuple):
    """One domain of one SAE."""

    domain: str
    sae: str
    cells: tuple[Cell, ...]


DOMAIN_METRICS = ("ce_recovered", "ce_increase", "kl", "fvu", "l0")


def domain_rows(report: RunReport) -> list[DomainRow]:
    """The main metrics per domain and SAE; empty where there is only one domain."""
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    for sae in report.saes:
        table = sae.table("domains")
        for row in table.to_pylist() if table is not None else []:
            known = sae.metric(row["metric"])
            if known is not None and row["metric"] in DOMAIN_METRICS:
                fields = ("value", "why_missing", "standard_error", "n", "n_documents")
                metric = Metric(
                    name=known.name,
                    unit=known.unit,
                    better=known.better,
                    definition=known.definition,
                    **{field: row[field] for field in fields},
                )
                found.setdefault((row["domain"], sae.name), {})[metric.name] = cell(metric)
    if len({domain for domain, _ in found}) < 2:
        return []
    domains = sorted({domain for domain, _ in found})
    return [
        DomainRow(domain, sae.name, tuple(found[domain, sae.name].get(name, cell(None)) for name in DOMAIN_METRICS))
        for domain in domains
        for sae in report.saes
        if (domain, sae.name) in found
    ]
