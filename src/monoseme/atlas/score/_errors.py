"""Standard errors that stay honest where few excerpts all came out alike.

The usual standard error of a share, and a bootstrap too, is 0 where every outcome is the same: four hits of four would be a hit
rate of 1 without doubt. Here an error is the larger distance from the value to the ends of a 95 % interval that is made for such
cases, divided by 1.96: value +- 1.96 errors holds that interval. Excerpts of a document may all be alike: trials are documents.

Letters: n outcomes, m_d of them in document d.
Sources: Agresti and Coull 1998, "Approximate is better than exact for interval estimation of binomial proportions"; Newcombe
1998, "Interval estimation for the difference between independent proportions" (distances of two shares add as squares); Hanley
and McNeil 1982, "The meaning and use of the area under a ROC curve" (variance), with Newcombe 2006, "Confidence intervals for an
effect size measure based on the Mann-Whitney statistic" (that variance at the end of the interval, not at the value); Kish 1965,
"Survey Sampling" (trials).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from monoseme.core.intervals import Z_95

TOLD = "its standard error is sqrt(e1^2 + e2^2) / 2 of the errors of the two shares, by documents and never below Agresti-Coull's"
"""What the definition of a balanced accuracy says of it."""
_N_HALVINGS = 40
"""Of the interval in which an end is looked for: to 1e-12."""


def n_trials(documents: NDArray[np.int64]) -> float:
    """How many independent trials n outcomes are worth if those of a document are all alike: n^2 / sum m_d^2; 0 of none."""
    _, counts = np.unique(documents, return_counts=True)
    return float(counts.sum() ** 2 / (counts**2).sum()) if len(counts) else 0.0


def share_error(share: float, n: float) -> float:
    """Of a share in [0, 1] of n > 0 trials, from Agresti and Coull's interval: of 4 of 4, whose interval is [0.45, 1.06], 0.28.

    That interval is share' +- 1.96 sqrt(share' (1 - share') / n'), of n' = n + 1.96^2 trials with 1.96^2 / 2 hits more. Never
    less than sqrt(share (1 - share) / (n - 1)), which is more in the middle, nor more than a half.
    """
    more = n + Z_95 * Z_95
    pulled = (share * n + Z_95 * Z_95 / 2) / more
    distance = abs(pulled - share) / Z_95 + float(np.sqrt(pulled * (1 - pulled) / more))
    usual = float(np.sqrt(share * (1 - share) / (n - 1))) if n > 1 else 0.0
    return min(max(distance, usual), 0.5)


def least_share_error(outcomes: NDArray[np.float64] | NDArray[np.bool_], documents: NDArray[np.int64]) -> float | None:
    """Of the mean of n outcomes in [0, 1], with documents as trials; None of no outcome."""
    return share_error(float(outcomes.mean()), n_trials(documents)) if len(outcomes) else None


def least_balanced_error(says: NDArray[np.bool_], fires: NDArray[np.bool_], documents: NDArray[np.int64]) -> float | None:
    """Of a balanced accuracy, with documents as trials; None without excerpts of both kinds."""
    parts = [least_share_error(says[kind], documents[kind]) for kind in (fires, ~fires)]
    return None if parts[0] is None or parts[1] is None else balanced_error(parts[0], parts[1])


def least_auroc_error(area: float, fires: NDArray[np.bool_], documents: NDArray[np.int64]) -> float | None:
    """Of an AUROC, with documents as trials; None without excerpts of both kinds."""
    if fires.all() or not fires.any():
        return None
    return auroc_error(area, n_trials(documents[fires]), n_trials(documents[~fires]))


def balanced_error(hit_error: float, alarm_error: float) -> float:
    """Of the mean of two independent shares: sqrt(hit_error^2 + alarm_error^2) / 2."""
    return float(np.hypot(hit_error, alarm_error)) / 2


def auroc_error(area: float, n_fires: float, n_silent: float) -> float:
    """Of an AUROC of so many trials of each kind (both > 0), the same distance, with Hanley and McNeil's variance.

    The ends of the interval are the areas a with |area - a| = 1.96 sqrt(V(a)), so perfect separation has an error too.
    """

    def is_outside(a: float) -> bool:
        both = a / (2 - a), 2 * a * a / (1 + a)
        more = max(n_fires - 1, 0.0) * (both[0] - a * a) + max(n_silent - 1, 0.0) * (both[1] - a * a)
        return (area - a) ** 2 > Z_95 * Z_95 * (a * (1 - a) + more) / (n_fires * n_silent)

    return max(area - _end(is_outside, area, 0.0), _end(is_outside, area, 1.0) - area) / Z_95


def _end(is_outside: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where the interval that holds `inside` ends towards `outside`."""
    for _ in range(_N_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if is_outside(middle) else (middle, outside)
    return inside
