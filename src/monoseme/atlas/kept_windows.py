"""Windows of the contexts whose codes an atlas keeps, laid end to end: where a latent is known to fire, and known to be silent.

Letters: M kept tokens, W windows, E codes.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.split import is_heldout

_MOST_LOOKED_AT = 1024
"""Firings of a latent on which its neighbours are counted (count); shares to 2 %."""
_MOST_COMPARED = 64
"""Latents that fire most often with it whose own firings are counted (count)."""
_MOST_NEIGHBOURS = 8
_FEWEST_TOGETHER = 3
"""Tokens on which two latents must fire together to be neighbours (count)."""


class KeptTokens(Protocol):
    """Tokens of whole contexts with all their codes, as an atlas keeps them. Those of one context are together and in order."""

    @property
    def document(self) -> NDArray[np.integer]:
        """[M]"""
        ...

    @property
    def position(self) -> NDArray[np.integer]:
        """[M]"""
        ...

    @property
    def context(self) -> NDArray[np.integer]:
        """[M]"""
        ...

    def of_latent(self, latent: int) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
        """Rows on which the latent's code is not zero, in order, and its values there; both [E]."""
        ...

    def of_token(self, row: int) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
        """Latents whose code is not zero on the row, and their values; both [E]."""
        ...


class Neighbour(NamedTuple):
    """A latent that fires where another does, or writes what it writes."""

    latent: int
    nearness: float
    """Tokens on which both fire / tokens on which either fires, or the cosine of what they write; in [0, 1]."""


class KeptWindows:
    """Windows of `length` tokens, a segment's last one at least half of that; none across a document, a context or a mask."""

    def __init__(self, kept: KeptTokens, *, length: int) -> None:
        self.kept, self.length = kept, length
        document, position = np.asarray(kept.document), np.asarray(kept.position)
        begins = np.ones(len(document), dtype=bool)
        begins[1:] = (np.diff(kept.context) != 0) | (np.diff(document) != 0) | (np.diff(position) != 1)
        self.first, self.last = _laid_end_to_end(np.nonzero(begins)[0], n_rows=len(document), length=length)
        self.document = document[self.first].astype(np.int64)
        self.position = position[self.first].astype(np.int64)
        self.heldout = is_heldout(self.document)

    def strongest(self, latent: int) -> NDArray[np.float32]:
        """The latent's largest activation in each window, [W]; 0 where it is silent."""
        rows, values = self.kept.of_latent(latent)
        found = np.zeros(len(self.first), dtype=np.float32)
        window = np.searchsorted(self.first, rows, side="right") - 1
        inside = (window >= 0) & (rows < self.last[np.maximum(window, 0)])
        np.maximum.at(found, window[inside], values[inside])
        return found

    def values(self, latent: int, window: int) -> NDArray[np.float32]:
        """The latent's activation on each token of a window, [last - first]; 0 where it does not fire."""
        first, last = int(self.first[window]), int(self.last[window])
        rows, values = self.kept.of_latent(latent)
        begin, end = np.searchsorted(rows, [first, last])
        found = np.zeros(last - first, dtype=np.float32)
        found[rows[begin:end] - first] = np.maximum(values[begin:end], 0)
        return found

    def neighbours(self, latent: int) -> list[Neighbour]:
        """The latents that fire where this one does, the closest first; none for a latent without kept firings.

        Of a latent with many firings, what it shares with others is counted on evenly spaced ones and scaled up.
        """
        rows = self._firings(latent)
        if not len(rows):
            return []
        looked_at = rows[:: -(-len(rows) // _MOST_LOOKED_AT)]
        others = np.concatenate([_positive(*self.kept.of_token(int(row))) for row in looked_at])
        latents, counts = np.unique(others[others != latent], return_counts=True)
        often = np.argsort(-counts, kind="stable")[:_MOST_COMPARED]
        often = often[counts[often] >= _FEWEST_TOGETHER]
        together = counts[often] * (len(rows) / len(looked_at))
        fired = np.array([len(self._firings(int(other))) for other in latents[often]])
        jaccard = together / np.maximum(len(rows) + fired - together, 1)
        best = np.argsort(-jaccard, kind="stable")[:_MOST_NEIGHBOURS]
        return [Neighbour(int(latents[often][i]), float(jaccard[i])) for i in best]

    def nearness(self, neighbours: Iterable[Neighbour]) -> NDArray[np.float64]:
        """How hard each window is to tell from one in which their latent fires, [W]; 0 where none of its neighbours fires.

        The largest of (nearness of the neighbour) x (its activation there / its largest activation in all windows).
        """
        near = np.zeros(len(self.first))
        for neighbour in neighbours:
            strength = self.strongest(neighbour.latent).astype(np.float64)
            near = np.maximum(near, neighbour.nearness * strength / max(float(strength.max(initial=0)), 1e-30))
        return near

    def _firings(self, latent: int) -> NDArray[np.integer]:
        rows, values = self.kept.of_latent(latent)
        return _positive(rows, values)


def _positive(index: NDArray[np.integer], values: NDArray[np.float32]) -> NDArray[np.integer]:
    return index[values > 0]


class _Spans(NamedTuple):
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def _laid_end_to_end(starts: NDArray[np.int64], *, n_rows: int, length: int) -> _Spans:
    """First rows and ends of windows over segments that begin at `starts`."""
    sizes = np.diff(np.append(starts, n_rows))
    counts = sizes // length + (sizes % length >= max(1, length // 2))
    owner = np.repeat(np.arange(len(starts)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = starts[owner] + number * length
    return _Spans(first, np.minimum(first + length, (starts + sizes)[owner]))
