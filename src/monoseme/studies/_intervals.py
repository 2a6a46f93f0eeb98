"""How sure a number or a difference is: intervals from bootstrap replicates, from seeds, and many tests at once.

Source: Efron and Tibshirani 1993, chapters 13 (percentile intervals) and 8 (resampling what is independent); Benjamini and
Hochberg 1995 (false discovery rate); Wilson 1927 (shares).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from monoseme.core.intervals import Z_95

_LEAST_REPLICATES = 20


class Interval(NamedTuple):
    """A number with the range in which it is to be expected."""

    value: float
    low: float | None
    """None where there is too little to tell."""
    high: float | None
    why_missing: str | None = None
    """Why there is no range."""

    @property
    def excludes_zero(self) -> bool | None:
        """Whether the whole range is on one side of 0; None without a range."""
        return None if self.low is None or self.high is None else self.low > 0 or self.high < 0

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3g} (no interval: {self.why_missing})"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def of_replicates(values: Sequence[float] | np.ndarray, *, level: float = 0.95) -> Interval:
    """The percentile interval of bootstrap replicates, of which the first is the estimate itself; NaN ones are left out."""
    found = np.asarray(values, dtype=np.float64)
    replicates = found[1:][np.isfinite(found[1:])]
    if len(replicates) < _LEAST_REPLICATES or 2 * len(replicates) < len(found) - 1:
        return Interval(float(found[0]), None, None, f"only {len(replicates)} replicates have a value")
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(found[0]), float(low), float(high))


def around(replicates: Sequence[float] | np.ndarray) -> Interval:
    """The estimate, which is the first, and 1.96 standard deviations of the others on each side.

    For numbers that depend on how many different documents there are, such as the layers at which a latent ever fires: a resample
    has fewer of them than the text, which moves all replicates, and so their percentiles, to one side.
    """
    found = of_replicates(replicates)
    if found.low is None:
        return found
    half = Z_95 * float(np.nanstd(np.asarray(replicates, dtype=np.float64)[1:], ddof=1))
    return Interval(found.value, found.value - half, found.value + half)


def difference(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, *, level: float = 0.95) -> Interval:
    """a - b from paired replicates: the i-th of both is of the same documents."""
    return of_replicates(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), level=level)


def of_sample(values: Sequence[float] | np.ndarray, *, level: float = 0.95) -> Interval:
    """The mean of independent values, such as seeds, with Student's t interval; of paired differences, give these."""
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return Interval(math.nan, None, None, "there is no value")
    mean = float(found.mean())
    if len(found) < 2:
        return Interval(mean, None, None, "there is one value only")
    half = float(stats.t.ppf((1 + level) / 2, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found)))
    return Interval(mean, mean - half, mean + half)


def of_share(n_held: int, n: int, *, level: float = 0.95) -> Interval:
    """The share n_held / n of independent cases, with Wilson's score interval: it has ends in [0, 1] also at 0 and at 1."""
    if not n:
        return Interval(math.nan, None, None, "there is no case")
    share, z = n_held / n, float(stats.norm.ppf((1 + level) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Interval(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))  # rounding aside


def q_values(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """The false discovery rate at which each test would be called a discovery (Benjamini-Hochberg); NaN stays NaN and does not
    count as a test."""
    p = np.asarray(p_values, dtype=np.float64)
    made = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        made[tested] = stats.false_discovery_control(p[tested], method="bh")
    return made
