"""The few others that go best with each latent of a slice, in an order that ties do not leave open.

Letters: w latents of a slice, F latents, C numbers a decoder row has.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Ranked(NamedTuple):
    """The best of each row, arrays [n] sorted by (row, rank)."""

    row: NDArray[np.int64]
    other: NDArray[np.int64]
    rank: NDArray[np.int64]
    """From 0, the best."""


def best(measure_wF: NDArray[np.floating], n_best: int, *, above: float) -> Ranked:
    """The `n_best` largest entries of each row that are larger than `above`; of equal ones the lower latent comes first."""
    measure = np.where(np.isnan(measure_wF), -np.inf, measure_wF)
    n_best = min(n_best, measure.shape[1])
    bound = np.partition(measure, measure.shape[1] - n_best, axis=1)[:, measure.shape[1] - n_best]
    row, other = np.nonzero((measure >= bound[:, None]) & (measure > above))
    order = np.lexsort((other, -measure[row, other], row))
    row, other = row[order], other[order]
    starts = np.searchsorted(row, np.arange(len(measure)))
    rank = np.arange(len(row)) - starts[row]
    kept = rank < n_best
    return Ranked(row[kept], other[kept], rank[kept])


def unit_rows(vectors_FC: NDArray[np.floating]) -> NDArray[np.float32]:
    """The rows divided by their lengths, float32; rows of zeros stay."""
    lengths = np.linalg.norm(vectors_FC, axis=1, keepdims=True)
    return (vectors_FC / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def cosines(unit_FC: NDArray[np.float32], latents: range) -> NDArray[np.float32]:
    """[w, F] cosine of each of `latents` with all; NaN with itself and where a row is zero."""
    found = unit_FC[latents.start : latents.stop] @ unit_FC.T
    found[np.arange(len(latents)), np.arange(latents.start, latents.stop)] = np.nan
    is_zero: NDArray[np.bool_] = np.logical_not(unit_FC.any(axis=1))
    found[is_zero[latents.start : latents.stop]] = np.nan
    found[:, is_zero] = np.nan
    return np.clip(found, -1, 1)
