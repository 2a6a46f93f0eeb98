"""The attention sinks a store remembers: the longest, with where they stand. Ties go to the first by document and position."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.text.block import TokenBlock

N_LISTED = 64
"""A sink is nearly always the same few tokens at the same few places: this many tell them."""


class SinkList(NamedTuple):
    """Sinks of a site, the longest first. Places without a sink are at the end, with norm -1."""

    norm: NDArray[np.float64]
    document: NDArray[np.int64]
    position: NDArray[np.int64]
    """In the document."""
    place: NDArray[np.int64]
    """In the context, from 0."""
    token: NDArray[np.int64]

    @classmethod
    def empty(cls) -> "SinkList":
        """No sinks."""
        return cls(np.full(N_LISTED, -1.0), *(np.full(N_LISTED, -1, np.int64) for _ in range(4)))

    @classmethod
    def of(cls, text: TokenBlock, sinks: Bool[Tensor, "n S"], norms: Float[Tensor, " K"]) -> "SinkList":
        """The tokens of a block that `sinks` marks; `norms` are theirs, in reading order."""
        columns = (norms.double(), text.documents[sinks], text.positions[sinks].long(), sinks.nonzero()[:, 1], text.tokens[sinks])
        return cls.empty().with_sinks(cls(*(column.numpy() for column in columns)))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], site: str) -> "SinkList":
        """The list among the statistics of a store."""
        return cls(*(arrays[f"{site}/sinks.{name}"] for name in cls._fields))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The inverse of `of_arrays`, without the site."""
        return {f"sinks.{name}": part for name, part in zip(self._fields, self, strict=True)}

    def with_sinks(self, other: "SinkList") -> "SinkList":
        """The longest of both."""
        if not len(other.norm) or other.norm[0] < 0:
            return self
        columns: list[NDArray[Any]] = [np.concatenate(parts) for parts in zip(self, other, strict=True)]
        both = SinkList(*columns)
        order = np.lexsort((both.position, both.document, -both.norm))[:N_LISTED]
        return both._at(order)

    def listed(self) -> "SinkList":
        """Without the empty places."""
        return self._at(np.flatnonzero(self.norm >= 0))

    def _at(self, places: NDArray[np.intp]) -> "SinkList":
        parts: list[NDArray[Any]] = [part[places] for part in self]
        return SinkList(*parts)
