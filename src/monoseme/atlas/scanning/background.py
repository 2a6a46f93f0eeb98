"""A uniform sample of all tokens of a pass, each with all its codes: where a latent does not fire, and how often it does.

Letters: M sampled rows (tokens), E their non-zero codes.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.keys import LAST_KEY, hash_positions
from monoseme.atlas.scanning.firings import Firings, Rows

_COMPACT_AT = 4
"""Pending rows, in multiples of the size, at which the sample is cut back."""


class BackgroundRows(NamedTuple):
    """Sampled rows in the order of their hash, and their positive codes."""

    document: NDArray[np.int64]
    """[M]"""
    position: NDArray[np.int64]
    """[M]"""
    latent: NDArray[np.int32]
    """[E]"""
    row: NDArray[np.int32]
    """[E] index into document and position"""
    value: NDArray[np.float32]
    """[E]"""


def _empty_rows() -> BackgroundRows:
    return BackgroundRows(
        np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
    )


class Background:
    """The `size` rows with the smallest hash of (seed, document, position)."""

    def __init__(self, size: int, *, seed: int) -> None:
        self.size, self.seed = size, seed
        self._rows = _empty_rows()
        self._bound = LAST_KEY

    def add(self, rows: Rows, firings: Firings) -> None:
        """Offer all rows of a chunk with their firings."""
        hashed = hash_positions(self.seed, rows.document, rows.position)
        picked = np.nonzero(hashed <= self._bound)[0]
        new_row = np.full(len(rows.document), -1, dtype=np.int32)
        new_row[picked] = np.arange(len(picked), dtype=np.int32)
        entry = np.nonzero((new_row[firings.row] >= 0) & (firings.value > 0))[0]
        self.take(
            BackgroundRows(
                rows.document[picked],
                rows.position[picked],
                firings.latent[entry].astype(np.int32),
                new_row[firings.row[entry]],
                firings.value[entry],
            )
        )

    def take(self, other: BackgroundRows) -> None:
        """Take in rows sampled elsewhere with the same seed."""
        mine = self._rows
        shifted = other._replace(row=other.row + np.int32(len(mine.document)))
        self._rows = BackgroundRows(
            np.concatenate([mine.document, shifted.document]),
            np.concatenate([mine.position, shifted.position]),
            np.concatenate([mine.latent, shifted.latent]),
            np.concatenate([mine.row, shifted.row]),
            np.concatenate([mine.value, shifted.value]),
        )
        if len(self._rows.document) > _COMPACT_AT * self.size:
            self._cut()

    def merge(self, other: Self) -> None:
        """Take in what another sample keeps."""
        self.take(other.kept())

    def kept(self) -> BackgroundRows:
        """The sample: rows by (hash, document, position), codes by (latent, row)."""
        self._cut()
        return self._rows

    def _cut(self) -> None:
        rows = self._rows
        hashed = hash_positions(self.seed, rows.document, rows.position)
        order = np.lexsort((rows.position, rows.document, hashed))[: self.size]
        new_row = np.full(len(rows.document), -1, dtype=np.int32)
        new_row[order] = np.arange(len(order), dtype=np.int32)
        row = new_row[rows.row]
        entry = np.nonzero(row >= 0)[0]
        entry = entry[np.lexsort((row[entry], rows.latent[entry]))]
        self._rows = BackgroundRows(rows.document[order], rows.position[order], rows.latent[entry], row[entry], rows.value[entry])
        if len(order) == self.size:
            self._bound = hashed[order[-1]]
