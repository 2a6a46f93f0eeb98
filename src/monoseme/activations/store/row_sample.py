"""A sample of rows by hash: the n rows with the least hash of (seed, document, position), whatever the shards.

A row's hash depends on the token alone, so the sample of a store is the least of what its shards offer, and a shard offers its n
least. Only hashes and places are kept; the rows themselves are read back from the store once, at the end.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_UNUSED = np.int64(2**63 - 1)
"""Hash of a place that no row fills; sorts last."""


class Sample(NamedTuple):
    """Rows of a store in ascending order of their hash; places that no row fills are at the end."""

    hash: NDArray[np.int64]
    """Of each row, in [0, 2^63)."""
    shard: NDArray[np.int64]
    row: NDArray[np.int64]
    """Number among the real rows of its shard; -1 where the store has fewer rows than the sample has places."""

    @classmethod
    def empty(cls, n: int) -> "Sample":
        """n places, none filled."""
        return cls(np.full(n, _UNUSED), np.full(n, -1, np.int64), np.full(n, -1, np.int64))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Sample":
        """The sample among the statistics of a store."""
        return cls(*(arrays[f"sample.{name}"] for name in cls._fields))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The inverse of `of_arrays`."""
        return {f"sample.{name}": part for name, part in zip(self._fields, self, strict=True)}

    def with_rows(self, later: "Sample") -> "Sample":
        """The least of both, as many as there are places here; of one hash the first in the store, where `later` comes later."""
        offered = later.hash < self.hash[-1]
        if not offered.any():
            return self
        both = Sample(*(np.concatenate([ours, theirs[offered]]) for ours, theirs in zip(self, later, strict=True)))
        order = np.argsort(both.hash, kind="stable")[: len(self.hash)]
        return Sample(*(part[order] for part in both))

    def in_store_order(self) -> "Sample":
        """The filled places, in the order in which the rows lie in the store."""
        filled = self.row >= 0
        order = np.lexsort((self.row[filled], self.shard[filled]))
        return Sample(*(part[filled][order] for part in self))


def hash_places(seed: int, documents: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """A hash in [0, 2^63) of each (document, position).

    Source: the finaliser of SplitMix64 (Steele, Lea and Flood 2014), once over the document and once over the position.
    """
    start = np.uint64(seed * int(_MIX[0]) % 2**64)
    mixed = _mixed(documents.astype(np.uint64) + start)
    return (_mixed(mixed ^ (positions.astype(np.uint64) * _MIX[0])) >> np.uint64(1)).astype(np.int64)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = z + _MIX[0]
    z = (z ^ (z >> np.uint64(30))) * _MIX[1]
    z = (z ^ (z >> np.uint64(27))) * _MIX[2]
    return z ^ (z >> np.uint64(31))
