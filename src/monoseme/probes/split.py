"""Which examples train a probe and which test it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed


class Split(NamedTuple):
    """A training side and a test side."""

    is_test: NDArray[np.bool_]
    """[N] of each example."""
    seed: int
    test_fraction: float

    @property
    def train(self) -> NDArray[np.int64]:
        """Examples of the training side."""
        return np.flatnonzero(~self.is_test)

    @property
    def test(self) -> NDArray[np.int64]:
        """Examples of the test side."""
        return np.flatnonzero(self.is_test)


def stratified_split(labels: Sequence[Any] | NDArray[Any], *, test_fraction: float = 0.2, seed: int = 42) -> Split:
    """`test_fraction` of the examples of every class for the test, rounded, at least one and not all of a class of two or more.

    A class of one example is for training. Raises ConfigError for a fraction that is not between 0 and 1.
    """
    if not 0.0 < test_fraction < 1.0:
        raise ConfigError(f"test_fraction is {test_fraction}; it must be between 0 and 1")
    given = np.asarray(labels)
    is_test = np.zeros(len(given), dtype=bool)
    rng = np.random.default_rng(derive_seed(seed, "stratified split"))
    for label in np.unique(given):
        examples = np.flatnonzero(given == label)
        n_test = min(max(round(test_fraction * len(examples)), 1), len(examples) - 1)
        is_test[rng.permutation(examples)[:n_test]] = True
    return Split(is_test, seed, test_fraction)


def one_hot(labels: Sequence[str] | NDArray[Any], classes: Sequence[str]) -> NDArray[np.bool_]:
    """[N, C], True where an example is of a class; a row of a label that is no class has none."""
    return np.asarray(labels)[:, None] == np.asarray(classes)[None, :]
