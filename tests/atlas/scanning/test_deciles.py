"""Tenths of activations: even however narrow a latent's activations are, and exact where all firings are sampled."""

import numpy as np

from monoseme.atlas.scanning.firings import Rows, sort_firings
from monoseme.atlas.scanning.select import decile_edges
from monoseme.atlas.scanning.state import LatentState, StateConfig


def _state(values: np.ndarray, *, n_sampled: int) -> LatentState:
    state = LatentState(1, StateConfig(n_top=2, n_sampled=n_sampled, n_background=2, left=1, right=1))
    rows = np.arange(len(values))
    state.add(Rows(rows, rows * 0, rows * 9, rows), sort_firings(rows * 0, values.astype(np.float32), rows))
    return state


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.bincount((values[:, None] >= edges[None, 1:-1]).sum(axis=1), minlength=10)


def test_a_latent_whose_activations_lie_in_one_bin_has_even_tenths() -> None:
    values = np.random.default_rng(0).uniform(4.0, 4.3, size=50).astype(np.float32)
    edges = decile_edges(_state(values, n_sampled=50))[0]
    assert np.all(np.diff(edges) > 0)
    assert edges[-1] == values.max()
    np.testing.assert_array_equal(_counts(values, edges), np.full(10, 5))


def test_of_more_firings_than_are_sampled_tenths_are_even_as_far_as_the_sample_says() -> None:
    values = np.random.default_rng(1).uniform(4.0, 4.3, size=2_000).astype(np.float32)
    counts = _counts(values, decile_edges(_state(values, n_sampled=100))[0])
    assert counts.max() < 400  # read off the bin alone, which reaches to 5, the last tenths would be empty
    assert counts.min() > 60


def test_a_silent_latent_has_no_tenths() -> None:
    state = LatentState(2, StateConfig(n_top=2, n_sampled=3, n_background=2))
    assert np.isnan(decile_edges(state)).all()
