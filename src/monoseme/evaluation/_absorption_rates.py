"""From verdicts on words to rates: of a letter, from a sample of its candidates, and over the letters whose probe can be trusted.

Letters: N words that the probe rightly gives a letter, W weightings (1 + replicates of a bootstrap over words).
Sources: the rate of a letter is that of sae-spelling (`_aggregate_results_df`), the letters left out and mean and standard
deviation over letters are SAEBench's (`run_feature_absorption_experiment`).
"""

import math
import statistics
from collections.abc import Mapping
from typing import NamedTuple

from monoseme.tensors.shapes import Float, Tensor

LEAST_PROBE_F1 = 0.6
"""A letter counts while its probe's F1 is above it."""
LEAST_LETTERS = 20
"""With fewer letters that count there is no number for the SAE."""


class OverLetters(NamedTuple):
    """A rate over letters."""

    mean: float | None
    stdev: float | None
    """Sample standard deviation over letters, how much they differ; None with a single one."""
    n_letters: int
    """Letters that count."""
    why_missing: str | None = None


def letter_rates(
    values: Float[Tensor, " N"], weights: Float[Tensor, "N W"], *, sample_portion: float = 1.0
) -> Float[Tensor, " W"]:
    """Sum of the values of a letter's words over their number, under each weighting.

    `values` has a row for each true positive of the probe: its verdict, and 0 where it is no candidate or was not sampled.
    `sample_portion` is the share of the candidates that were sampled: the others are taken to be like them. NaN without weights.
    """
    total = weights.double().sum(0)
    found = weights.double().T @ values.double() / sample_portion
    return (found / total).where(total > 0, math.nan)


def trusted_letters(probe_f1: Mapping[str, float | None], *, least_f1: float = LEAST_PROBE_F1) -> list[str]:
    """The letters whose probe has an F1 above `least_f1`; at that number itself a letter is left out."""
    return [letter for letter, f1 in probe_f1.items() if f1 is not None and f1 > least_f1]


def over_letters(rates: Mapping[str, float | None], *, least_letters: int = LEAST_LETTERS) -> OverLetters:
    """Mean and spread of the rates that exist, each letter counting alike; no number with fewer than `least_letters` of them."""
    held = [rate for rate in rates.values() if rate is not None and math.isfinite(rate)]
    if len(held) < max(least_letters, 1):
        why = f"{len(held)} letters have a probe to be trusted and words to judge, of the {max(least_letters, 1)} that it takes"
        return OverLetters(None, None, len(held), why)
    return OverLetters(statistics.fmean(held), statistics.stdev(held) if len(held) > 1 else None, len(held))
