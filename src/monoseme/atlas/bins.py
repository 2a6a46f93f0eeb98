"""The fixed logarithmic bins of activation histograms, and quantiles read from them.

Four bins per power of two, cut from the bits of the float32 itself: a value's bin needs no logarithm, so it is the same on
every machine, and histograms of any two passes add. The first and the last bin are open: they hold what lies outside.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LOW_EXPONENT, _HIGH_EXPONENT = -20, 20
_BINS_PER_OCTAVE = 4
_SHIFT = 23 - 2  # of the 23 mantissa bits, the two highest tell the quarter of the octave
_FIRST = (127 + _LOW_EXPONENT) * _BINS_PER_OCTAVE
N_BINS = (_HIGH_EXPONENT - _LOW_EXPONENT) * _BINS_PER_OCTAVE
"""Bins of every histogram: 160, from 2^-20 (about 1e-6) to 2^20 (about 1e6)."""


N_DECILES = 10
"""Tenths into which the activations of a latent are told apart."""


def bin_edges() -> NDArray[np.float64]:
    """The N_BINS + 1 edges: bin i holds edges[i] <= value < edges[i + 1]."""
    bits = (np.arange(N_BINS + 1, dtype=np.uint32) + np.uint32(_FIRST)) << np.uint32(_SHIFT)
    return bits.view(np.float32).astype(np.float64)


def bin_of(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bin of each positive value; what lies outside the range goes to the first or last bin."""
    return np.clip((values.view(np.int32) >> _SHIFT) - _FIRST, 0, N_BINS - 1).astype(np.int64)


class Located(NamedTuple):
    """Where quantiles lie in histograms, arrays [F, Q]."""

    bin: NDArray[np.int64]
    share: NDArray[np.float64]
    """Share of the bin's counts below the quantile, in [0, 1]; 0 in a bin without counts."""


def locate(counts: NDArray[np.int64], levels: NDArray[np.float64]) -> Located:
    """The bin of each quantile of each row of histograms, exact: counts [F, N_BINS], levels [Q] in [0, 1]."""
    cumulative = np.cumsum(counts, axis=1, dtype=np.int64)
    wanted = levels[None, :] * cumulative[:, -1:]
    at = (cumulative[:, None, :] < wanted[:, :, None]).sum(axis=2).clip(0, N_BINS - 1)
    inside = np.take_along_axis(counts, at, axis=1)
    before = np.take_along_axis(cumulative, at, axis=1) - inside
    return Located(at, np.divide(wanted - before, inside, out=np.zeros_like(wanted), where=inside > 0))


def quantiles(counts: NDArray[np.int64], levels: NDArray[np.float64], *, maximum: NDArray[np.float32]) -> NDArray[np.float64]:
    """Quantiles of each row of histograms: counts [F, N_BINS], levels [Q] in [0, 1] -> [F, Q] float64.

    Linear inside a bin (at most 25 % wide); never above the row's maximum [F]. A row without counts gives NaN.
    """
    edges = bin_edges()
    at, share = locate(counts, levels)
    found = edges[at] + share * (edges[at + 1] - edges[at])
    found = np.minimum(found, maximum.astype(np.float64)[:, None])
    return np.where(counts.sum(axis=1, keepdims=True) > 0, found, np.nan)
