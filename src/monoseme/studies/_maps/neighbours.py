"""Which tokens are next to each other by their codes, exactly, a slice of tokens at a time.

One search serves the maps and the measures of them. Letters: N rows, F latents, k neighbours.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from monoseme.evaluation._csr import Csr

_ROWS = 512
"""Rows whose distances to all others are held at a time."""


class Neighbours(NamedTuple):
    """The nearest rows of each row, itself left out, the nearest first."""

    row: NDArray[np.int64]
    """[N, k]"""
    distance: NDArray[np.float64]
    """[N, k]"""

    def graph(self) -> Csr:
        """Sparse distances [N, N] with the row itself at distance 0, as t-SNE and UMAP take them."""
        n, k = self.row.shape
        columns = np.concatenate([np.arange(n)[:, None], self.row], axis=1).ravel()
        # A stored 0 is a neighbour, a missing entry none: distances that round below 0 must not vanish.
        values = np.concatenate([np.zeros((n, 1)), self.distance], axis=1).ravel()
        return sparse.csr_array((values, columns, np.arange(n + 1) * (k + 1)), shape=(n, n))


def unit_rows(codes: Csr) -> Csr:
    """Rows of length 1. Raises ValueError where one is empty."""
    norms = np.sqrt(np.asarray(codes.multiply(codes).sum(axis=1)).ravel())
    if (norms == 0).any():
        raise ValueError("an empty row has no direction")
    return sparse.csr_array(sparse.diags_array(1.0 / norms) @ codes)


class Space:
    """Rows with a distance between them: cosine distance of sparse rows of length 1, or Euclidean distance of points."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self._transposed = rows.T

    def __len__(self) -> int:
        """Rows (N)."""
        return int(self._rows.shape[0])

    def slices(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Distances [n, N] of a slice of rows to all rows, float64."""
        for start in range(0, len(self), _ROWS):
            rows = slice(start, min(start + _ROWS, len(self)))
            yield rows, self._distances(rows)

    def _distances(self, rows: slice) -> NDArray[np.float64]:
        if sparse.issparse(self._rows):
            return np.maximum(1.0 - (self._rows[rows] @ self._transposed).toarray(), 0.0)
        squares = (self._rows**2).sum(1)
        found = squares[rows, None] + squares - 2 * (self._rows[rows] @ self._transposed)
        return np.sqrt(np.maximum(found, 0.0))


def nearest(space: Space, k: int, *, apart: NDArray[np.int64] | None = None) -> Neighbours:
    """The k nearest rows of each row; with `apart` [N], those of another number only. Same input, same neighbours.

    Where a row has fewer than k to choose from, its list is filled up with itself at an infinite distance.
    """
    index, distance = np.empty((len(space), k), dtype=np.int64), np.empty((len(space), k))
    for rows, found in space.slices():
        own = np.arange(rows.start, rows.stop)
        found[own - rows.start, own] = np.inf
        if apart is not None:
            found[apart[rows, None] == apart] = np.inf
        chosen = _smallest(found, k)
        near = np.take_along_axis(found, chosen, axis=1)
        index[rows, : chosen.shape[1]] = np.where(np.isfinite(near), chosen, own[:, None])
        distance[rows, : chosen.shape[1]] = near
        index[rows, chosen.shape[1] :], distance[rows, chosen.shape[1] :] = own[:, None], np.inf
    return Neighbours(index, distance)


def _smallest(values: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """[n, k] columns of the smallest values of each row, in their order; equal ones by column."""
    if k >= values.shape[1]:
        return np.argsort(values, axis=1, kind="stable")
    chosen = np.sort(np.argpartition(values, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(np.take_along_axis(values, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)
