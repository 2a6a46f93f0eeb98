"""Hot loops of the threshold selection, where a row has hundreds of entries: candidates without their bounds, and the exact cut.

Loops take more arrays than other functions take arguments: Numba knows no objects worth passing.
Letters: B rows, F latents, nnz entries.
"""

import numpy as np
from numba import prange

from monoseme.kernels._compiled import Array, parallel, serial
from monoseme.kernels._cpu_screen import row_scores


@parallel
def collect_latents(halves: Array, wide: Array, raised: Array, reach: Array, slacks: Array, wobble: float, floor: float,
                    found: Array, counts: Array, n_parts: int) -> None:  # fmt: skip
    """Latents of each row whose upper bound reaches the floor, ascending, and how many; `found` has F + 1 columns."""
    n_rows, n_latents = counts.shape[0], raised.shape[0]
    for part in prange(n_parts):
        buffer, uppers = np.empty(n_latents, np.float32), np.empty(n_latents, np.float32)
        for row in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            _uppers(row_scores(halves, wide, row, buffer), raised, reach, slacks[row], wobble, uppers)
            counts[row] = _places(uppers, floor, found[row])


@parallel
def join_rows(found: Array, offsets: Array, latents: Array) -> None:
    """The first entries of each row, one row after the other."""
    for row in prange(offsets.shape[0] - 1):
        first, last = offsets[row], offsets[row + 1]
        latents[first:last] = found[row, : last - first]


@serial
def _uppers(scores: Array, raised: Array, reach: Array, slack: float, wobble: float, out: Array) -> None:
    """p + b + e of `_cpu_screen`."""
    for i in range(scores.shape[0]):
        out[i] = scores[i] + raised[i] + (wobble * abs(scores[i]) + slack * reach[i])


@serial
def _places(uppers: Array, floor: float, found: Array) -> np.int32:
    """Writes where the bound reaches the floor, without a branch; `found` has room for one more than there are."""
    n = np.int32(0)
    for i in range(uppers.shape[0]):
        found[n] = i
        n = np.int32(n + np.int32(uppers[i] >= floor))
    return n


@parallel
def count_above(latents: Array, values: Array, offsets: Array, thresholds: Array, counts: Array) -> None:
    """Entries of each row above the thresholds of their latents."""
    for row in prange(counts.shape[0]):
        n = 0
        for p in range(offsets[row], offsets[row + 1]):
            n += np.int32(values[p] > thresholds[latents[p]])
        counts[row] = n


@parallel
def keep_above(latents: Array, values: Array, offsets: Array, thresholds: Array, kept_offsets: Array, kept_latents: Array,
               kept_values: Array) -> None:  # fmt: skip
    """Moves what `count_above` counted together."""
    for row in prange(offsets.shape[0] - 1):
        n = kept_offsets[row]
        for p in range(offsets[row], offsets[row + 1]):
            if values[p] > thresholds[latents[p]]:
                kept_latents[n], kept_values[n] = latents[p], values[p]
                n += 1
