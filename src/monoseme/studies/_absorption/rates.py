"""From judged words to rates: of letters, over letters, and how far they would move with other words.

Words are what is resampled: each counts Poisson(1) times in a replicate, the same number for all dictionaries, so that
differences between them are paired. Letters are what they are, and their probes and main latents are not fitted anew.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.evaluation import DocumentWeights
from monoseme.evaluation._absorption_rates import OverLetters, letter_rates, over_letters, trusted_letters
from monoseme.studies._absorption.judged import Judged
from monoseme.studies._base import Row
from monoseme.studies._intervals import Interval, of_replicates

MEASURES: Mapping[str, tuple[str, str | None]] = {
    "absorption_rate": ("is_absorption", "sample_portion"),
    "partial_by_ablation": ("is_partial_by_ablation", "partial_sample_portion"),
    "full_absorption": ("is_full", None),
    "absorption_fraction": ("fraction", None),
    "partial_absorption": ("is_partial", None),
}
"""Measure -> column of a word's row that is summed, and column of a letter's row with the share that was sampled."""
BY_ABLATION = ("absorption_rate", "partial_by_ablation")


class Trust(NamedTuple):
    """Which letters count."""

    least_f1: float
    least_letters: int


class Rates(NamedTuple):
    """One dictionary."""

    letters: list[Row]
    """The letters' rows, each measure with `_low` and `_high` beside."""
    over: Mapping[str, OverLetters]
    replicates: Mapping[str, NDArray[np.float64]]
    """Measure -> its mean over letters under each weighting, the first being the estimate; NaN where there is none."""

    def interval(self, measure: str) -> Interval | None:
        """Of the mean over letters; None where it has no value."""
        return None if self.over[measure].mean is None else of_replicates(self.replicates[measure])


def rates_of(judged: Judged, weights: DocumentWeights, trust: Trust, *, measures: Sequence[str]) -> Rates:
    """The measures of every letter and over those that count. A letter that the probe finds in no word has no rate."""
    trusted = trusted_letters({row["letter"]: row["probe_f1"] for row in judged.letters}, least_f1=trust.least_f1)
    letters: list[Row] = []
    found: dict[str, dict[str, NDArray[np.float64]]] = {measure: {} for measure in measures}
    for letter in judged.letters:
        rows = [row for row in judged.words if row["letter"] == letter["letter"]]
        drawn = weights.of([row["word"] for row in rows])
        made = dict(letter) | {"counts": letter["letter"] in trusted}
        for measure in measures:
            column, portion = MEASURES[measure]
            values = torch.tensor([float(row[column] or 0.0) for row in rows], dtype=torch.float64)
            replicates = letter_rates(values, drawn, sample_portion=letter[portion] if portion else 1.0).numpy()
            found[measure][letter["letter"]] = replicates
            made |= _cells(measure, replicates)
        letters.append(made)
    held = {measure: {name: per[name] for name in trusted if name in per} for measure, per in found.items()}
    over = {
        measure: over_letters({name: float(r[0]) for name, r in per.items()}, least_letters=trust.least_letters)
        for measure, per in held.items()
    }
    return Rates(letters, over, {measure: _mean(per, weights.n_weightings) for measure, per in held.items()})


def _mean(letters: Mapping[str, NDArray[np.float64]], n: int) -> NDArray[np.float64]:
    """Over the letters that have a rate under a weighting; NaN where none has."""
    if not letters:
        return np.full(n, math.nan)
    stacked = np.stack(list(letters.values()))
    exists = np.isfinite(stacked)
    counts = exists.sum(0)
    total = np.where(exists, stacked, 0.0).sum(0)
    return np.divide(total, counts, out=np.full(n, math.nan), where=counts > 0)


def _cells(measure: str, replicates: NDArray[np.float64]) -> Row:
    if not math.isfinite(replicates[0]):
        return {measure: None, f"{measure}_low": None, f"{measure}_high": None}
    found = of_replicates(replicates)
    return {measure: found.value, f"{measure}_low": found.low, f"{measure}_high": found.high}
