"""The fixed bins of activation histograms."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monoseme.atlas.bins import N_BINS, bin_edges, bin_of, quantiles


def test_bins_are_four_to_a_power_of_two_from_2_to_the_minus_20_to_2_to_the_20() -> None:
    edges = bin_edges()
    assert (len(edges), edges[0], edges[-1]) == (N_BINS + 1, 2.0**-20, 2.0**20)
    assert edges[80:85].tolist() == [1.0, 1.25, 1.5, 1.75, 2.0]


@given(st.floats(2.0**-20, 2.0**20, width=32, exclude_max=True))
def test_a_value_lies_between_the_edges_of_its_bin(value: float) -> None:
    index = int(bin_of(np.array([value], dtype=np.float32))[0])
    edges = bin_edges()
    assert edges[index] <= value < edges[index + 1]


def test_values_outside_go_to_the_outer_bins() -> None:
    assert bin_of(np.array([1e-30, 1e-7, 3e6, 3e38], dtype=np.float32)).tolist() == [0, 0, N_BINS - 1, N_BINS - 1]


def test_quantiles_lie_in_the_bin_of_the_true_quantile() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(3, 1009)).astype(np.float32)
    counts = np.stack([np.bincount(bin_of(row), minlength=N_BINS) for row in values])
    levels = np.linspace(0, 1, 11)
    found = quantiles(counts, levels, maximum=values.max(axis=1))
    true = np.quantile(values.astype(np.float64), levels, axis=1, method="inverted_cdf").T
    assert (bin_of(found[:, 1:-1].astype(np.float32)) == bin_of(true[:, 1:-1].astype(np.float32))).all()
    assert (found[:, -1] == values.max(axis=1)).all()
    assert (np.diff(found) >= 0).all()


def test_a_latent_that_never_fired_has_no_quantiles() -> None:
    found = quantiles(np.zeros((1, N_BINS), dtype=np.int64), np.array([0.5]), maximum=np.zeros(1, dtype=np.float32))
    assert np.isnan(found).all()
