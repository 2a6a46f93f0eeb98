"""Linear probes for classes: which features tell them apart, what a logistic regression makes of these, and how sure that is.

Nothing of the test side reaches a choice: features are selected, scaled and weighted on the training side alone.
Letters: N examples, F features, K classes, W weightings (the estimate, then bootstrap replicates).

Source: T-SAE, arXiv:2511.05541, and its code (features whose mean in a class is largest against their mean in the rest, union
over classes, logistic regression); Gurnee et al. 2023, arXiv:2305.01610 (probes of few features).
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from monoseme.core.seeds import derive_seed
from monoseme.evaluation._csr import members

Features = NDArray[np.floating[Any]] | sp.csr_matrix
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
_MOST_STEPS = 2000
_GRADIENT = 1e-5
"""Largest slope of the mean loss at which a fit is done; ten times finer than scikit-learn's own, which stops early where
each of many classes is a small share of the mean."""


class Fit(NamedTuple):
    """What a probe says of the test side."""

    predicted: Ints
    """Class of each test example."""
    n_features: int
    """Features that it could use: those that are not constant on the training side."""
    converged: bool


def class_contrasts(x: Features, labels: Ints, n_classes: int) -> Floats:
    """[K, F]: mean of each feature in the class minus its mean in all other examples; 0 for a class that is empty or all."""
    sums = _per_class(labels, x.astype(np.float64), n_classes)
    counts = np.bincount(labels, minlength=n_classes)[:, None]
    rest = len(labels) - counts
    means, others = sums / np.maximum(counts, 1), (sums.sum(0) - sums) / np.maximum(rest, 1)
    return np.where((counts > 0) & (rest > 0), means - others, 0.0)


def telling_features(contrasts: Floats, per_class: int, *, signed: bool = False) -> Ints:
    """[K, per_class]: the features of each class with the largest contrast, best first; ties go to the lower number.

    With `signed` features, which may be low where a class is, the size of the contrast counts.
    """
    size = np.abs(contrasts) if signed else contrasts
    return np.argsort(-size, axis=1, kind="stable")[:, :per_class]


def fit_probe(x: Features, labels: Ints, test: NDArray[np.bool_], *, inverse_penalty: float = 1.0) -> Fit:
    """Logistic regression over all K classes on the examples that are not `test`, with an L2 penalty.

    Each feature is divided by its standard deviation on the training side (and dense ones are centred), so that the penalty
    treats them alike; constant ones are left out. `inverse_penalty` is scikit-learn's C.
    """
    x_train, x_test = _scaled(cast(Any, x)[~test], cast(Any, x)[test])
    n_features = int(cast(Any, x_train).shape[1])
    if not n_features or len(np.unique(labels[~test])) < 2:
        most = int(np.bincount(labels[~test]).argmax())
        return Fit(np.full(int(test.sum()), most, dtype=np.int64), 0, True)
    probe = LogisticRegression(C=inverse_penalty, max_iter=_MOST_STEPS, tol=_GRADIENT)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        probe.fit(x_train, labels[~test])
    stopped = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return Fit(np.asarray(probe.predict(x_test), dtype=np.int64), n_features, not stopped)


def _scaled(train: Features, test: Features) -> tuple[Features, Features]:
    if isinstance(train, np.ndarray):
        mean, spread = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
        kept = spread > 1e-6 * np.abs(train).max(initial=0.0)
        made = ((side[:, kept] - mean[kept]) / spread[kept] for side in (train, test))
        return next(made), next(made)
    n = max(cast(tuple[int, int], train.shape)[0], 1)
    squares = np.asarray(train.astype(np.float64).power(2).sum(0)).ravel() / n
    variance = squares - (np.asarray(train.sum(0, dtype=np.float64)).ravel() / n) ** 2
    kept = np.flatnonzero(variance > 1e-12 * np.maximum(squares, 1e-300))
    scale = sp.diags(1 / np.sqrt(variance[kept]))
    return sp.csr_matrix(train[:, kept] @ scale), sp.csr_matrix(test[:, kept] @ scale)


def split_by_unit(labels: Ints, units: Ints, *, test_fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which examples are for the test: all of a unit (a source) or none, about `test_fraction` of every class.

    Units are drawn class by class, a unit counting to the class that most of its examples have. A class of one unit is for
    training: it has no second side to be on.
    """
    rng = np.random.default_rng(derive_seed(seed, "split"))
    names, unit_of, sizes = np.unique(units, return_inverse=True, return_counts=True)
    table = np.zeros((len(names), int(labels.max(initial=0)) + 1), dtype=np.int64)
    np.add.at(table, (unit_of, labels), 1)
    main = table.argmax(1)
    chosen = np.zeros(len(names), dtype=bool)
    for label in np.unique(main):
        members = rng.permutation(np.flatnonzero(main == label))
        middles = np.cumsum(sizes[members]) - sizes[members] / 2  # a unit is taken where that comes nearer to what is wanted
        n_taken = int(np.searchsorted(middles, test_fraction * sizes[members].sum(), side="right"))
        chosen[members[: min(max(n_taken, 1), len(members) - 1)]] = True
    return chosen[unit_of]


def scores(truth: Ints, predicted: Ints, weights: Floats, n_classes: int) -> dict[str, Floats]:
    """Each of `SCORES` under every weighting [N, W] of the examples -> [W]; NaN where no example counts.

    Balanced accuracy is the mean recall, macro F1 the mean F1, of the classes that the weighting holds.
    """
    n = _per_class(truth, weights, n_classes)
    said = _per_class(predicted, weights, n_classes)
    hits = _per_class(truth, weights * (truth == predicted)[:, None], n_classes)
    held = n > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(held, hits / n, 0.0)
        f1 = np.where(held, 2 * hits / (n + said), 0.0)
        total = held.sum(0)
        return {
            "accuracy": hits.sum(0) / n.sum(0),
            "balanced_accuracy": recall.sum(0) / total,
            "macro_f1": f1.sum(0) / total,
        }


def _per_class(labels: Ints, x: Any, n_classes: int) -> Floats:
    """Sums [K, *] of the rows of x, sparse or dense, of each class."""
    summed: Any = members(labels, n_classes) @ x
    return summed.toarray() if sp.issparse(summed) else np.asarray(summed)


def over_seeds(per_seed: Sequence[Floats], *, seed: int) -> Floats:
    """The mean over seeds under every weighting; from the second on, seeds too are drawn anew, with replacement.

    Seeds without a value in a weighting do not count there.
    """
    values = np.stack(per_seed)
    n_seeds, n_weightings = values.shape
    rng = np.random.default_rng(derive_seed(seed, "seeds"))
    counts = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n_weightings).T.astype(np.float64)
    counts[:, 0] = 1.0
    counts = np.where(np.isfinite(values), counts, 0.0)
    with np.errstate(invalid="ignore"):
        return (counts * np.nan_to_num(values)).sum(0) / counts.sum(0)
