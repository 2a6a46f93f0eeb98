"""Probes of one class against the rest: which examples, which features, and what a fit of few or of all features says.

Source: Karvonen et al. 2025 (SAEBench), arXiv:2503.09532, and its code (`evals/sparse_probing/probe_training.py`); Gurnee et al.
2023, arXiv:2305.01610 (few features, by the difference of means).
Letters: E examples, F features.
"""

import warnings
from collections.abc import Sequence
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
    """Features divided by their standard deviation, so that the penalty does not depend on their unit."""
    as_saebench: Bools
    """Features as they are: latents of small codes are held back by the penalty."""


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


def telling(x: Features, of: Sample, n: int) -> tuple[Ints, NDArray[np.float64]]:
    """The n features whose mean in the class is farthest from their mean in the others, best first, and the signed differences.

    Of the training side only; ties go to the lower number.
    """
    train = ~of.is_test
    held: Any = x
    contrasts = class_contrasts(held[of.rows[train]], of.is_positive[train].astype(np.int64), 2)[1]
    best = np.argsort(-np.abs(contrasts), kind="stable")[:n]
    return best, contrasts[best]


def few_features(x: Features, of: Sample, columns: Sequence[int] | Ints) -> Said:
    """A logistic regression (C = 1) on some columns."""
    held: Any = x
    found = held[of.rows][:, np.asarray(columns)]
    dense = np.asarray(found.todense() if sp.issparse(found) else found, dtype=np.float64)
    labels = of.is_positive.astype(np.int64)
    truth = labels[of.is_test]
    scaled = fit_probe(dense, labels, of.is_test).predicted
    return Said(scaled == truth, _as_they_are(dense, labels, of.is_test) == truth)


def _as_they_are(x: NDArray[np.float64], labels: Ints, test: Bools) -> Ints:
    probe = LogisticRegression(max_iter=_MOST_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # SAEBench takes what 1,000 steps give
        probe.fit(x[~test], labels[~test])
    return np.asarray(probe.predict(x[test]), dtype=np.int64)
