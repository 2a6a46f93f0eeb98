"""The numbers that scorers share, each under many weightings of the documents, so that each comes with an interval.

Excerpts of one document are alike, so documents are what is drawn again: weighting 0 counts each document once and gives the
estimate; in each other weighting a document counts as often as n draws of n documents took it.

Letters: n excerpts, W weightings (1 + replicates), P excerpts that fire, N that do not.
Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 8 (independent units) and 13 (percentiles).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.intervals import Z_95
from monoseme.core.seeds import derive_seed

N_REPLICATES = 1000
_INTERVAL = (2.5, 97.5)


class Estimate(NamedTuple):
    """A number and how far it would move with other documents."""

    value: float | None
    """None where it does not exist."""
    standard_error: float | None = None
    """Of the replicates, or what `estimate` was told is the least; None from a single document, or where under half of the
    replicates have the number."""
    low: float | None = None
    """2.5th percentile of the replicates, or value - 1.96 x the least where that is lower; None without a standard error."""
    high: float | None = None
    """97.5th percentile, or value + 1.96 x the least where that is higher."""


def document_weights(documents: NDArray[np.int64], *, seed: int, n_replicates: int = N_REPLICATES) -> NDArray[np.float64]:
    """How often each excerpt counts in each weighting, [W, n]; row 0 is all ones. Excerpts of one document count alike.

    Of a single document row 0 alone: there is nothing to draw again.
    """
    distinct, which = np.unique(documents, return_inverse=True)
    if len(distinct) < 2:
        return np.ones((1, len(documents)))
    rng = np.random.default_rng(derive_seed(seed, "scores", "bootstrap"))
    drawn = rng.multinomial(len(distinct), np.full(len(distinct), 1 / len(distinct)), size=n_replicates)
    return np.concatenate([np.ones((1, len(documents))), drawn[:, which.reshape(-1)].astype(np.float64)])


def mean(values: NDArray[np.float64] | NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the excerpts (of outcomes: their share) under each weighting, [W]; NaN where none counts."""
    return _ratio(weights @ values.astype(np.float64), weights.sum(axis=1))


def balanced_accuracy(says: NDArray[np.bool_], fires: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(share of firing excerpts that are said to fire + share of silent ones that are said not to) / 2, [W].

    In [0, 1], 0.5 for whoever always says the same. NaN where either kind does not count.
    """
    return (mean(says[fires], weights[:, fires]) + mean(~says[~fires], weights[:, ~fires])) / 2


def weighted_auroc(strength: NDArray[np.float64], fires: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that a firing excerpt has a larger strength than a silent one, ties counted half, [W]; float64.

    NaN where either kind does not count. Takes P x N comparisons: excerpts of one latent are few.
    """
    high, low = strength[fires][:, None], strength[~fires][None, :]
    wins = (high > low) + 0.5 * (high == low)
    w_fires, w_silent = weights[:, fires], weights[:, ~fires]
    return _ratio(((w_fires @ wins) * w_silent).sum(axis=1), w_fires.sum(axis=1) * w_silent.sum(axis=1))


class PairSums(NamedTuple):
    """Sums over the tokens of each excerpt, from which a correlation follows; float64 [n]."""

    n: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    xx: NDArray[np.float64]
    yy: NDArray[np.float64]
    xy: NDArray[np.float64]


def pair_sums(pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> PairSums:
    """Sums of what was said (x) and what is (y) over the tokens of each excerpt.

    Each side is divided by its largest absolute value first, which moves no correlation and keeps the squares in range.
    """
    scales = [max((float(np.abs(pair[side]).max(initial=0)) for pair in pairs), default=0.0) or 1.0 for side in (0, 1)]
    rows = [(x / scales[0], y / scales[1]) for x, y in pairs]
    sums = [(len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y) for x, y in rows]
    return PairSums(*np.array(sums, dtype=np.float64).reshape(-1, 6).T)


def pearson(sums: PairSums, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation over all tokens of all excerpts together under each weighting, [W]; NaN where either side does not vary.

    Source: Bills et al. 2023, "Language models can explain neurons in language models" (the ev-correlation score is its estimate
    over the excerpts of one neuron, all tokens pooled).
    """
    n, x, y, xx, yy, xy = (weights @ column for column in sums)
    safe = np.maximum(n, 1.0)
    var_x, var_y = xx - x * x / safe, yy - y * y / safe
    varies = (var_x > 1e-12 * np.maximum(xx, 1e-300)) & (var_y > 1e-12 * np.maximum(yy, 1e-300))
    return np.where(varies, (xy - x * y / safe) / np.sqrt(np.where(varies, var_x * var_y, 1.0)), np.nan)


def estimate(replicates: NDArray[np.float64], *, least: float | None = None) -> Estimate:
    """The number under weighting 0, with its spread over the other weightings; [W] with NaN where it does not exist.

    `least` is the least standard error of a number in [0, 1]: where all outcomes are alike, so are all replicates. The interval
    then holds value +- 1.96 x least, within [0, 1].
    """
    value, others = float(replicates[0]), replicates[1:]
    if not np.isfinite(value):
        return Estimate(None)
    known = others[np.isfinite(others)]
    if len(known) < 2 or 2 * len(known) < len(others):
        return Estimate(value)
    low, high = np.percentile(known, _INTERVAL)
    spread = float(known.std(ddof=1))
    if least is None:
        return Estimate(value, spread, float(low), float(high))
    widest = max(0.0, value - Z_95 * least), min(1.0, value + Z_95 * least)
    return Estimate(value, max(spread, least), min(float(low), widest[0]), max(float(high), widest[1]))


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), np.nan)
