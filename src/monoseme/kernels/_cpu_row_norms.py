"""Loops over the norms of rows: which are kept, and how their norms are spread. One thread: the model has the others.

Letters: R rows, K of them kept, S places.
"""

from typing import Any

import numpy as np

from monoseme.kernels._compiled import serial


@serial
def add_norms(so_far: Any, norms: Any, seen: Any, place: Any, kept: Any) -> Any:
    """Adds R norms to a `NormSpread`; writes the numbers of the kept rows to `kept` [R] and gives how many they are.

    A norm is seen by its place and its bits only where `seen` [R] is set, and real wherever it is finite.
    """
    bits, last, n_kept = norms.view(np.int32), so_far.bins.shape[0] - 1, 0
    for i in range(norms.shape[0]):
        if np.isfinite(norms[i]):
            so_far.place_n[1, place[i]] += 1
            so_far.place_sums[1, place[i]] += np.float64(norms[i])
            if seen[i]:
                kept[n_kept] = i
                n_kept += 1
                so_far.place_n[0, place[i]] += 1
                so_far.place_sums[0, place[i]] += np.float64(norms[i])
                so_far.bins[min(max((bits[i] >> so_far.shift) - so_far.first, 0), last)] += 1
        elif seen[i]:
            so_far.n_not_finite[0] += 1
    return n_kept


@serial
def mark_longer(norms: Any, limit: Any, mask: Any, marked: Any, any_site: Any) -> Any:
    """Sets `marked` [R] where a masked row is longer than `limit` and finite, and clears it elsewhere; sets `any_site` too."""
    n = 0
    for i in range(norms.shape[0]):
        marked[i] = mask[i] and norms[i] > limit and np.isfinite(norms[i])
        if marked[i]:
            any_site[i] = True
            n += 1
    return n
