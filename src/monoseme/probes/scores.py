"""How well probes do on examples they have not seen: whether they say the right thing, and whether their probabilities are true.

Letters: N examples, C classes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from monoseme.probes.linear import LinearProbe

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

N_BINS = 10
"""Bins of a reliability table: of equal width in probability, 0 to 1."""


class ReliabilityBin(NamedTuple):
    """Examples to which a probe gave about the same probability."""

    low: float
    high: float
    n: int
    mean_probability: float | None
    """That it gave them; None in an empty bin."""
    share_positive: float | None
    """Of the class they really were; near `mean_probability` where the probe is calibrated."""


class ProbeScores(NamedTuple):
    """One class, scored on some examples. None: not defined there."""

    name: str
    n: int
    n_positive: int
    f1: float | None
    precision: float | None
    """None where the class is never said."""
    recall: float | None
    auroc: float | None
    """The chance that a positive has a higher score than a negative, ties counting half."""
    brier: float | None = None
    """Mean squared difference of probability and truth; below p (1 - p) a probe knows more than the frequency p."""
    ece: float | None = None
    """Mean over examples of |mean probability - share of positives| of their bin (`N_BINS` bins of equal width)."""
    why_missing: str | None = None
    """Why f1, recall and auroc have no value."""


def held_out(
    probe: LinearProbe, x: Any, y: Any, classes: Sequence[str], *, rows: NDArray[np.int64] | None = None
) -> list[ProbeScores]:
    """Scores of each of the probe's classes on x [N, D] with the truth y [N, len(classes)], on `rows` of them if given.

    Probabilities are of the classes' frequencies in training (`LinearProbe.log_balance` is taken off); the cut is the logit 0.
    """
    columns = [list(classes).index(name) for name in probe.classes]
    some = slice(None) if rows is None else rows
    logits = np.asarray(probe.logits(x[some]).double().cpu().numpy())
    truth = np.asarray(y)[some][:, columns].astype(bool)
    shift = np.zeros(len(columns)) if probe.log_balance is None else probe.log_balance.double().numpy()
    return [
        scores_of(logits[:, i], truth[:, i], name, probability=expit(logits[:, i] - shift[i]))
        for i, name in enumerate(probe.classes)
    ]


def scores_of(score: Floats, truth: Bools, name: str, *, probability: Floats | None = None, cut: float = 0.0) -> ProbeScores:
    """Of one class, from scores [N] that say it above `cut`; Brier and calibration only where probabilities are given."""
    said = score > cut
    hits, n_said, n_positive = int((said & truth).sum()), int(said.sum()), int(truth.sum())
    n, both = len(truth), 0 < n_positive < len(truth)
    brier = ece = None
    if probability is not None and n:
        brier, ece = brier_score(probability, truth), expected_calibration_error(probability, truth)
    return ProbeScores(
        name=name,
        n=n,
        n_positive=n_positive,
        f1=2 * hits / (n_said + n_positive) if n_positive else None,
        precision=hits / n_said if n_said else None,
        recall=hits / n_positive if n_positive else None,
        auroc=area_under_roc(score, truth) if both else None,
        brier=brier,
        ece=ece,
        why_missing=None if both else f"{n_positive} of {n} examples are of the class",
    )


def area_under_roc(score: Floats, truth: Bools) -> float:
    """The chance that a positive scores above a negative, ties counting half; NaN where there are no two sides.

    Source: Hanley & McNeil 1982: the rank sum of the positives, less its least value, over the number of pairs.
    """
    n_positive = int(truth.sum())
    n_pairs = n_positive * (len(truth) - n_positive)
    if not n_pairs:
        return float("nan")
    ranks = stats.rankdata(score)
    return float((ranks[truth].sum() - n_positive * (n_positive + 1) / 2) / n_pairs)


def brier_score(probability: Floats, truth: Bools) -> float:
    """Mean of (probability - truth)^2. Source: Brier 1950."""
    return float(np.mean((probability - truth) ** 2))


def reliability(probability: Floats, truth: Bools, *, n_bins: int = N_BINS) -> list[ReliabilityBin]:
    """How often each probability comes true, in bins of equal width; 1.0 is in the last one."""
    bins = np.minimum((probability * n_bins).astype(np.int64), n_bins - 1)
    n = np.bincount(bins, minlength=n_bins)
    given = np.bincount(bins, weights=probability, minlength=n_bins)
    positive = np.bincount(bins, weights=truth, minlength=n_bins)
    return [
        ReliabilityBin(
            low=i / n_bins,
            high=(i + 1) / n_bins,
            n=int(n[i]),
            mean_probability=float(given[i] / n[i]) if n[i] else None,
            share_positive=float(positive[i] / n[i]) if n[i] else None,
        )
        for i in range(n_bins)
    ]


def expected_calibration_error(probability: Floats, truth: Bools, *, n_bins: int = N_BINS) -> float:
    """Mean over examples of |mean probability - share of positives| of the example's bin.

    Of a rare class, where nearly all examples are in the first bin, it is small whatever the rest does: read it beside the table
    of `reliability`. Source: Naeini et al. 2015, with the probability of the class itself.
    """
    bins = [each for each in reliability(probability, truth, n_bins=n_bins) if each.n]
    off = sum(each.n * abs((each.mean_probability or 0.0) - (each.share_positive or 0.0)) for each in bins)
    return off / len(truth)
