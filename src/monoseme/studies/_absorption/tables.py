"""A dictionary's rates as a row of the table and as typed metrics."""

import math
import statistics
from collections.abc import Sequence

import numpy as np

from monoseme.evaluation import Metric
from monoseme.studies._absorption.dictionaries import Entry
from monoseme.studies._absorption.findings import Measured
from monoseme.studies._absorption.rates import Rates
from monoseme.studies._base import Row

_MEANINGS = {
    "absorption_rate": "Share of a letter's words, found by its probe, in which the main latents are silent and one other latent "
    "along the probe does most for the answer (Chanin et al. 2024)",
    "partial_by_ablation": "The same where the main latents still fire, among the words that the sparse probe misses",
    "full_absorption": "Share of a letter's words in which the main latents are silent and one other latent makes a large share "
    "of the projection on the probe (SAEBench)",
    "absorption_fraction": "Of what main latents and absorbers add to the projection on the probe, the absorbers' share; mean "
    "over a letter's words (SAEBench)",
    "partial_absorption": "Share of a letter's words in which absorbers and main latents both add to the projection on the probe",
}


def sae_row(entry: Entry, rates: Rates, measures: Sequence[str]) -> Row:
    """Width, L0, how well the main latents tell the letters, and every measure with interval and spread over letters."""
    subject, letters = entry.subject, [row for row in rates.letters if row["counts"]]
    made: Row = {
        "subject": entry.name,
        "architecture": entry.architecture,
        "part": "all" if subject is None else subject.word,
        "is_control": entry.is_control,
        "site": str(entry.site),
        "width": entry.width,
        "l0": entry.l0,
        "n_letters": len(letters),
        "n_words": sum(row["num_probe_true_positives"] for row in letters),
        "probe_f1": _mean([row["probe_f1"] for row in letters]),
        "k1_f1": _mean([row["k1_f1"] for row in letters]),
        "k_sparse_f1": _mean([row["k_sparse_f1"] for row in letters]),
        "mean_main_latents": _mean([row["n_main_latents"] for row in letters]),
    }
    for measure in measures:
        interval, over = rates.interval(measure), rates.over[measure]
        made |= {
            measure: over.mean,
            f"{measure}_low": None if interval is None else interval.low,
            f"{measure}_high": None if interval is None else interval.high,
            f"{measure}_stdev": over.stdev,
            f"{measure}_over_words": _over_words(letters, measure),
        }
    return made | {"why_missing": next((rates.over[m].why_missing for m in measures if rates.over[m].why_missing), None)}


def metrics_of(found: Measured, measures: Sequence[str]) -> list[Metric]:
    """The means over letters; `n` and `n_documents` count words."""
    n = found.row["n_words"]
    return [_metric(measure, found.rates, n) for measure in measures]


def _metric(measure: str, rates: Rates, n: int) -> Metric:
    over, replicates = rates.over[measure], rates.replicates[measure][1:]
    spread = float(np.nanstd(replicates, ddof=1)) if over.mean is not None and np.isfinite(replicates).sum() > 1 else None
    return Metric(
        name=measure,
        value=over.mean,
        why_missing=over.why_missing,
        unit="fraction",
        better="lower",
        n=n,
        n_documents=n,
        standard_error=spread,
        definition=f"{_MEANINGS[measure]}; mean over letters.",
    )


def _mean(values: Sequence[float | None]) -> float | None:
    held = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.fmean(held) if held else None


def _over_words(letters: Sequence[Row], measure: str) -> float | None:
    """Of all words together, so that letters count by their words."""
    held = [(row[measure], row["num_probe_true_positives"]) for row in letters if row[measure] is not None]
    total = sum(n for _, n in held)
    return sum(rate * n for rate, n in held) / total if total else None
