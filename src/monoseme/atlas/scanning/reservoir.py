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


class _Places(NamedTuple):
    """Where entries are stored."""

    group: NDArray[np.int64]
    place: NDArray[np.int64]


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
        at = _Places(groups[row], place)
        return self._columns(at)._replace(payload={name: column[at] for name, column in self._payload.items()})

    def _compact(self) -> None:
        if not self._pending:
            return
        offered = join_entries(self._pending)
        self._pending, self._n_pending = [], 0
        offered = offered.pick(self.may_enter(offered.group, offered.key))
        touched = np.zeros(self.n_groups, dtype=bool)
        touched[offered.group] = True
        groups, places = np.nonzero(touched[:, None] & (np.arange(self.size) < self._counts[:, None]))
        stored = _Places(groups, places)
        # what travels with entries is heavy: it is moved once it is known which of them stay, and where
        merged = join_entries([self._columns(stored), offered._replace(payload={})])
        order, rank = _ranked(merged, distinct_documents=self.distinct_documents)
        kept = rank < self.size
        self._scatter(merged, order[kept], rank[kept], stored, offered.payload)

    def _columns(self, at: "_Places") -> Entries:
        """Stored entries at (groups, places), without what travels with them."""
        return Entries(at.group, self._key[at], self._document[at], self._position[at], {})

    def _scatter(
        self,
        merged: Entries,
        kept: NDArray[np.int64],
        rank: NDArray[np.int64],
        stored: "_Places",
        payload: Mapping[str, NDArray],
    ) -> None:
        """Store the entries `kept` of `merged`, which begins with those at `stored`; the payload of the others is given."""
        n_stored = len(stored.group)
        group, old = merged.group[kept], kept < n_stored
        moved = ~old
        moved[old] = stored.place[kept[old]] != rank[old]  # an entry that keeps its place stays untouched
        kept, rank, group, old = kept[moved], rank[moved], group[moved], old[moved]
        at = (group, rank)
        from_old = (group[old], stored.place[kept[old]])
        for name, column in self._payload.items():
            values = np.empty((len(kept), *column.shape[2:]), column.dtype)
            values[old], values[~old] = column[from_old], payload[name][kept[~old] - n_stored]
            column[at] = values
        self._key[at], self._document[at], self._position[at] = merged.key[kept], merged.document[kept], merged.position[kept]
        np.maximum.at(self._counts, group, rank + 1)


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
    order = _ordered(entries)
    if distinct_documents and len(order):
        order = order[_first_of_documents(entries.group[order], entries.document[order])]
    group = entries.group[order]
    starts = np.searchsorted(group, group, side="left")
    return _Ranked(order, np.arange(len(order)) - starts)


def _ordered(entries: Entries) -> NDArray[np.int64]:
    """As np.lexsort by (group, key, document, position), in a fraction of its time: few keys are equal."""
    order = np.argsort(entries.key)
    for shift in range(0, int(entries.group.max(initial=0)).bit_length(), 16):  # a stable sort of 16 bits goes by counting
        digit = (entries.group[order] >> shift).astype(np.uint16)
        order = order[np.argsort(digit, kind="stable")]
    group, key = entries.group[order], entries.key[order]
    is_next = np.zeros(len(order) + 1, dtype=bool)
    is_next[1:-1] = (group[1:] == group[:-1]) & (key[1:] == key[:-1])
    tied = np.nonzero(is_next[1:] | is_next[:-1])[0]
    among = order[tied]
    columns = (entries.position[among], entries.document[among], entries.key[among], entries.group[among])
    order[tied] = among[np.lexsort(columns)]
    return order


def _first_of_documents(group: NDArray[np.int64], document: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices, ascending, at which each (group, document) comes first."""
    by_pair = np.argsort(group * (int(document.max()) + 1) + document)
    group, document = group[by_pair], document[by_pair]
    begins = np.ones(len(by_pair), dtype=bool)
    begins[1:] = (group[1:] != group[:-1]) | (document[1:] != document[:-1])
    return np.sort(np.minimum.reduceat(by_pair, np.nonzero(begins)[0]))
