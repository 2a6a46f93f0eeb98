"""The n smallest keys of every group, with what belongs to them: how a scan keeps examples in bounded memory.

The kept set depends only on what was offered, not on its order or on how it was split between reservoirs: ties of keys break
by (document, position). With `distinct_documents` a group keeps the best entry of each document, then the n best documents;
that too is independent of order, because more entries of a document can only move that document up.

Letters: G groups (usually latents), N places per group.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.keys import LAST_KEY

_SMALLEST_COMPACTION = 1 << 18


class Entries(NamedTuple):
    """Offered or kept entries, one row each."""

    group: NDArray[np.int64]
    key: NDArray[np.uint64]
    document: NDArray[np.int64]
    position: NDArray[np.int64]
    payload: dict[str, NDArray]
    """What travels with an entry, by name; the first axis is the entry."""

    def pick(self, index: NDArray) -> "Entries":
        """The entries at an index array or under a mask."""
        payload = {name: column[index] for name, column in self.payload.items()}
        return Entries(self.group[index], self.key[index], self.document[index], self.position[index], payload)


class PayloadSpec(NamedTuple):
    """Type and shape of one payload column."""

    dtype: str
    shape: tuple[int, ...] = ()


class Reservoir:
    """Keeps the n smallest keys per group; memory O(G * N) whatever is offered."""

    def __init__(self, n_groups: int, size: int, *, distinct_documents: bool, payload: Mapping[str, PayloadSpec]) -> None:
        self.n_groups, self.size, self.distinct_documents = n_groups, size, distinct_documents
        self.payload_specs = dict(payload)
        places = (n_groups, size)
        self._key = np.full(places, LAST_KEY, dtype=np.uint64)
        self._document = np.full(places, -1, dtype=np.int64)
        self._position = np.full(places, -1, dtype=np.int64)
        self._payload = {name: np.zeros(places + spec.shape, spec.dtype) for name, spec in self.payload_specs.items()}
        self._counts = np.zeros(n_groups, dtype=np.int64)
        self._pending: list[Entries] = []
        self._n_pending = 0

    def may_enter(self, group: NDArray[np.integer], key: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which entries could still be kept, by the last compaction's bounds: the cheap filter before payloads exist."""
        return key <= self._key[group, self.size - 1]

    def offer(self, entries: Entries) -> None:
        """Add entries; those that cannot be kept are dropped at the next compaction."""
        if not len(entries.key):
            return
        self._pending.append(entries)
        self._n_pending += len(entries.key)
        if self._n_pending >= max(_SMALLEST_COMPACTION, self.n_groups * self.size // 2):
            self._compact()

    def entries(self) -> Entries:
        """All kept entries, sorted by (group, key, document, position)."""
        self._compact()
        return self._stored(np.arange(self.n_groups))

    def counts(self) -> NDArray[np.int64]:
        """How many entries each group keeps, [G]."""
        self._compact()
        return self._counts.copy()

    def merge(self, other: Self) -> None:
        """Take in what another reservoir of the same shape keeps: as if both had been offered to this one."""
        self.offer(other.entries())
        self._compact()

    def _stored(self, groups: NDArray[np.int64]) -> Entries:
        filled = np.arange(self.size)[None, :] < self._counts[groups, None]
        row, place = np.nonzero(filled)
        at = (groups[row], place)
        payload = {name: column[at] for name, column in self._payload.items()}
        return Entries(at[0], self._key[at], self._document[at], self._position[at], payload)

    def _compact(self) -> None:
        if not self._pending:
            return
        offered = join_entries(self._pending)
        self._pending, self._n_pending = [], 0
        offered = offered.pick(self.may_enter(offered.group, offered.key))
        touched = np.zeros(self.n_groups, dtype=bool)
        touched[offered.group] = True
        merged = join_entries([self._stored(np.nonzero(touched)[0]), offered])
        order, rank = _ranked(merged, distinct_documents=self.distinct_documents)
        kept = rank < self.size
        self._scatter(merged.pick(order[kept]), rank[kept])

    def _scatter(self, kept: Entries, rank: NDArray[np.int64]) -> None:
        at = (kept.group, rank)
        self._key[at], self._document[at], self._position[at] = kept.key, kept.document, kept.position
        for name, column in self._payload.items():
            column[at] = kept.payload[name]
        counts = np.bincount(kept.group, minlength=self.n_groups)
        self._counts = np.where(counts > 0, counts, self._counts)


def join_entries(parts: Sequence[Entries]) -> Entries:
    """Several lists of entries as one."""
    first = parts[0]
    payload = {name: np.concatenate([part.payload[name] for part in parts]) for name in first.payload}
    return Entries(
        np.concatenate([part.group for part in parts]),
        np.concatenate([part.key for part in parts]),
        np.concatenate([part.document for part in parts]),
        np.concatenate([part.position for part in parts]),
        payload,
    )


class _Ranked(NamedTuple):
    order: NDArray[np.int64]
    rank: NDArray[np.int64]


def _ranked(entries: Entries, *, distinct_documents: bool) -> _Ranked:
    """The order by (group, key, document, position), and each entry's rank inside its group."""
    order = np.lexsort((entries.position, entries.document, entries.key, entries.group))
    if distinct_documents:
        group, document = entries.group[order], entries.document[order]
        by_document = np.lexsort((document, group))  # stable: the best entry of a document stays first
        first = np.ones(len(order), dtype=bool)
        group, document = group[by_document], document[by_document]
        first[1:] = (group[1:] != group[:-1]) | (document[1:] != document[:-1])
        is_best = np.zeros(len(order), dtype=bool)
        is_best[by_document[first]] = True
        order = order[is_best]
    group = entries.group[order]
    starts = np.searchsorted(group, group, side="left")
    return _Ranked(order, np.arange(len(order)) - starts)
