"""Probes of few latents: which latents tell a class, and a logistic regression on these alone.

Source: Chanin et al. 2024, arXiv:2409.14507, and `k_sparse_probing.py` of its code (selection by the signed weights of an L1
probe, then scikit-learn's LogisticRegression with max_iter 500 and balanced classes); a branch of it for the difference of means
and for probes without a bias; Gurnee et al. 2023, arXiv:2305.01610.
Letters: N examples, C classes, F latents, D width, k latents of a probe.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from monoseme.core.errors import ConfigError
from monoseme.probes.linear import LinearProbe
from monoseme.probes.settings import SPARSE, ProbeTraining
from monoseme.probes.training import train_multi_probe

Selection = Literal["l1", "mean_difference", "probe_weight"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_MOST_STEPS = 500


class SparseProbe(NamedTuple):
    """A logistic regression on k latents; it says the class where its score is above 0."""

    latents: tuple[int, ...]
    """Best first."""
    weights: tuple[float, ...]
    bias: float
    converged: bool

    def score(self, columns: Floats) -> Floats:
        """[N], from the codes [N, k] of its latents."""
        return np.asarray(columns, dtype=np.float64) @ np.asarray(self.weights) + self.bias


def l1_weights(
    codes: Any, y: Bools, classes: Sequence[str], *, rows: Ints | None = None, settings: ProbeTraining = SPARSE
) -> Floats:
    """[C, F]: weights of an L1 probe on all latents at once; a row of NaN for a class that cannot be probed."""
    probe = train_multi_probe(codes, y, classes, rows=rows, settings=settings)
    made = np.full((len(classes), probe.weight.shape[1]), np.nan)
    made[[list(classes).index(name) for name in probe.classes]] = probe.weight.double().numpy()
    return made


def mean_differences(codes: Any, y: Bools, *, rows: Ints | None = None) -> Floats:
    """[C, F]: mean of each latent over a class minus its mean over the other examples; NaN for a class that is empty or all."""
    some = codes if rows is None else codes[rows]
    truth = np.asarray(y if rows is None else y[rows], dtype=np.float64)
    n_positive = truth.sum(0)[:, None]
    held: Any = some.T @ truth
    sums = np.asarray(held).T
    total = np.asarray(np.ones(len(truth)) @ some).reshape(1, -1)  # SciPy's own sum of float32 rows is in float32
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(
            (n_positive > 0) & (n_positive < len(truth)),
            sums / n_positive - (total - sums) / (len(truth) - n_positive),
            np.nan,
        )


def cosines(probe: LinearProbe, directions: Floats) -> Floats:
    """[C, F]: cosine of each class's weights with each latent's direction [F, D]; 0 for a direction or weights of zeros."""
    weight = probe.weight.double().numpy()
    return _unit(weight) @ _unit(np.asarray(directions, dtype=np.float64)).T


def top_latents(scores: Floats, k: int) -> Ints:
    """[C, min(k, F)]: latents with the largest signed score, best first; ties go to the lower number."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def columns_of(codes: Any, latents: Sequence[int]) -> Floats:
    """[N, k]: the codes of some latents, dense. Of CSC fast; of CSR every entry is looked at."""
    picked: Any = codes[:, list(latents)]
    return np.asarray(picked.toarray() if sp.issparse(picked) else picked, dtype=np.float64)


def fit_sparse(columns: Floats, truth: Bools, latents: Sequence[int], *, zero_bias: bool = False) -> SparseProbe:
    """A logistic regression on the codes [N, k] of `latents`, classes balanced, with scikit-learn's L2 penalty (C = 1).

    `zero_bias`: without an intercept, so that it says no class where none of its latents fires. Raises ConfigError where only one
    side is there.
    """
    n_positive = int(truth.sum())
    if n_positive in (0, len(truth)):
        raise ConfigError(f"{n_positive} of {len(truth)} training examples are of the class: there is nothing to tell apart")
    model = LogisticRegression(max_iter=_MOST_STEPS, class_weight="balanced", fit_intercept=not zero_bias)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(columns, truth)
    stopped = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    weights = tuple(float(w) for w in np.asarray(model.coef_)[0])
    bias = float(np.asarray(model.intercept_).reshape(-1)[0])
    return SparseProbe(tuple(int(i) for i in latents), weights, bias, not stopped)


def _unit(x: Floats) -> Floats:
    size = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, size, out=np.zeros_like(x), where=size > 0)
