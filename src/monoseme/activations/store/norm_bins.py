"""A histogram of norms whose counts add up exactly, however the rows were divided.

A bin is what a float32 is called by its exponent and the first five bits of its mantissa: 32 equal bins between two powers of
two, so that a bin is 1.6 to 3.1 % wide. Norms from 2^-24 to 2^24 have bins of their own; the first bin also holds the shorter
ones (zero too), the last the longer ones.
"""

import numpy as np
from numpy.typing import NDArray

from monoseme.core.errors import ConfigError
from monoseme.kernels.row_norms import NormSpread

_BITS = 5
_SHIFT = 23 - _BITS
_LEAST, _MOST = -24, 24
_FIRST = (_LEAST + 127) << _BITS
N_BINS = (_MOST - _LEAST) << _BITS


def empty_spread(n_places: int) -> NormSpread:
    """Counts of no norms, by these bins and by place."""
    return NormSpread.zero(n_bins=N_BINS, n_places=n_places, shift=_SHIFT, first=_FIRST)


def norm_quantile(counts: NDArray[np.int64], q: float) -> float | None:
    """The q-quantile of the norms, q in [0, 1]: the middle of its bin, within 1.6 % of it; None without any norm.

    It is the norm at place ceil(q * n) in ascending order (the first for q = 0). Raises ConfigError for q outside [0, 1].
    """
    if not 0.0 <= q <= 1.0:
        raise ConfigError(f"a quantile of {q} was asked for; it must be from 0 to 1")
    n = int(counts.sum())
    if n == 0:
        return None
    # The place is found in whole numbers: q * n as a float can round across one, as 0.7 * 10 does.
    place = max(1, int(np.ceil(round(q * n, 9))))
    chosen = int(np.searchsorted(np.cumsum(counts), place))
    low, high = bin_edges(chosen)
    return (low + high) / 2


def bin_edges(number: int) -> tuple[float, float]:
    """From where to where the norms of a bin go: [low, high)."""
    low, high = np.array([number + _FIRST, number + 1 + _FIRST], dtype=np.int32).__lshift__(_SHIFT).view(np.float32)
    return float(low), float(high)
