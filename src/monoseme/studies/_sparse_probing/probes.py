"""Probes of one class against the rest: which examples, which features, and what a fit of few or of all features says.

Source: Karvonen et al. 2025 (SAEBench), arXiv:2503.09532, and its code (`evals/sparse_probing/probe_training.py`); Gurnee et al.
2023, arXiv:2305.01610 (few features, by the difference of means).
Letters: E examples, F features.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from monoseme.evaluation._probes import Features, Ints, class_contrasts, fit_probe

Bools = NDArray[np.bool_]
_MOST_STEPS = 1000
"""Of a fit, as SAEBench."""


class Sample(NamedTuple):
    """The examples of a probe: half of its class, half of the others."""

    rows: Ints
    """[E] of the texts, the training side first."""
    is_positive: Bools
    """[E]."""
    is_test: Bools
    """[E]."""


class Said(NamedTuple):
    """Which of the test examples a probe gets right, under both definitions."""

    right: Bools
    """Features chosen and seen divided by their standard deviation, so that no unit matters."""
    as_saebench: Bools
    """Features chosen and seen as they are."""


def sample(labels: Ints, label: int, test: Bools, *, n_train: int, n_test: int, rng: np.random.Generator) -> Sample:
    """At most `n_train` and `n_test` texts, half of the class and half of the others, of each other class about as many."""
    sides = [_side(labels, label, np.flatnonzero(side), n, rng) for side, n in ((~test, n_train), (test, n_test))]
    rows = np.concatenate(sides)
    return Sample(rows, labels[rows] == label, test[rows])


def _side(labels: Ints, label: int, rows: Ints, n: int, rng: np.random.Generator) -> Ints:
    positives = rng.permutation(rows[labels[rows] == label])[: n // 2]
    # Classes take turns, so that one which is used up leaves its share to the others.
    rest = rng.permutation(rows[labels[rows] != label])
    turn = np.zeros(len(rest), dtype=np.int64)
    for other in np.unique(labels[rest]):
        held = labels[rest] == other
        turn[held] = np.arange(int(held.sum()))
    negatives = rest[np.argsort(turn, kind="stable")][: len(positives)]
    return np.concatenate([positives[: len(negatives)], negatives])


class Telling(NamedTuple):
    """Features by how far their mean in the class is from that in the others, on the training side; the best first."""

    scaled: Ints
    """In standard deviations: what a threshold on the feature could tell."""
    raw: Ints
    """In the feature's own unit, as SAEBench: those with large values come first."""
    differences: NDArray[np.float64]
    """[F]: in standard deviations, 0 for a constant feature; above 0 where the class has more."""


def telling(x: Features, of: Sample) -> Telling:
    """All features in order; ties go to the lower number."""
    held: Any = x
    train = held[of.rows[~of.is_test]]
    contrasts = class_contrasts(train, of.is_positive[~of.is_test].astype(np.int64), 2)[1]
    spread = _spread(train)
    differences = np.divide(contrasts, spread, out=np.zeros_like(contrasts), where=spread > 1e-9 * np.abs(contrasts))
    order = (np.argsort(-np.abs(each), kind="stable") for each in (differences, contrasts))
    return Telling(next(order), next(order), differences)


def _spread(x: Any) -> NDArray[np.float64]:
    """Standard deviation of each column."""
    mean = np.asarray(x.mean(0, dtype=np.float64)).ravel()
    squares = x.astype(np.float64).power(2) if sp.issparse(x) else np.square(x, dtype=np.float64)
    return np.sqrt(np.maximum(np.asarray(squares.mean(0)).ravel() - mean**2, 0.0))


def few_features(x: Features, of: Sample, n: int, found: Telling) -> Said:
    """A logistic regression (C = 1) on the best n features."""
    labels = of.is_positive.astype(np.int64)
    truth = labels[of.is_test]
    scaled = fit_probe(_columns(x, of, found.scaled[:n]), labels, of.is_test).predicted
    return Said(scaled == truth, _as_they_are(_columns(x, of, found.raw[:n]), labels, of.is_test) == truth)


def _columns(x: Features, of: Sample, columns: Ints) -> NDArray[np.float64]:
    held: Any = x
    found = held[of.rows][:, columns]
    return np.asarray(found.todense() if sp.issparse(found) else found, dtype=np.float64)


def _as_they_are(x: NDArray[np.float64], labels: Ints, test: Bools) -> Ints:
    probe = LogisticRegression(max_iter=_MOST_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # SAEBench takes what 1,000 steps give
        probe.fit(x[~test], labels[~test])
    return np.asarray(probe.predict(x[test]), dtype=np.int64)
