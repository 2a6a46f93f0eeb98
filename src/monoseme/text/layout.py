"""Which tokens of which sections stand where in which context: packing, as a plan of segments.

Letters: n contexts, S positions.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.seeds import derive_seed

Bos = Literal["always", "document", "never"]


class Layout(NamedTuple):
    """Segments of contexts. Context c has the segments [bounds[c], bounds[c + 1]).

    A segment is `length` tokens of section `section` (counted within the group) from its token `start` on, written from
    `column` on, after a BOS in that column if `has_bos`. Columns that no segment fills are padding.
    """

    bounds: NDArray[np.int64]
    section: NDArray[np.int32]
    start: NDArray[np.int32]
    length: NDArray[np.int32]
    column: NDArray[np.int32]
    has_bos: NDArray[np.bool_]

    @property
    def n_contexts(self) -> int:
        """Contexts of the layout."""
        return len(self.bounds) - 1


class _Segment(NamedTuple):
    context: int
    section: int
    start: int
    length: int
    column: int
    has_bos: bool


def lay_out(lengths: Sequence[int], *, order: Sequence[int], context_len: int, bos: Bos, one_per_context: bool) -> Layout:
    """Places the sections in `order`, each with all its `lengths[section]` tokens, one after the other.

    With `one_per_context` a section begins a context of its own, and goes on in further ones if it is longer. With BOS
    "always", a section that goes on in the next context has a BOS there too. A BOS is never the last token of a context.
    """
    segments: list[_Segment] = []
    context = column = 0
    for section in order:
        start = 0
        if one_per_context and column:
            context, column = context + 1, 0
        while start < lengths[section]:
            has_bos = (bos == "always" and (column == 0 or start == 0)) or (bos == "document" and start == 0)
            length = min(context_len - column - has_bos, lengths[section] - start)
            if length > 0:
                segments.append(_Segment(context, section, start, length, column, has_bos))
            start += length
            column += has_bos + length
            if column >= context_len:
                context, column = context + 1, 0
    return _as_layout(segments, n_contexts=context + (column > 0))


def _as_layout(segments: list[_Segment], *, n_contexts: int) -> Layout:
    columns = np.asarray(segments, dtype=np.int64).reshape(-1, 6).T
    bounds = np.searchsorted(columns[0], np.arange(n_contexts + 1))
    section, start, length, column = (values.astype(np.int32) for values in columns[1:5])
    return Layout(bounds.astype(np.int64), section, start, length, column, columns[5].astype(bool))


def reorder_contexts(layout: Layout, order: NDArray[np.int64]) -> Layout:
    """The same contexts in another order."""
    counts = np.diff(layout.bounds)[order]
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    rows = np.repeat(layout.bounds[:-1][order] - bounds[:-1], counts) + np.arange(bounds[-1])
    return Layout(
        bounds,
        layout.section[rows],
        layout.start[rows],
        layout.length[rows],
        layout.column[rows],
        layout.has_bos[rows],
    )


def permutation(n: int, seed: int, *names: str | int) -> NDArray[np.int64]:
    """A permutation of range(n), a pure function of the seed and the stream's names."""
    return np.random.default_rng(derive_seed(seed, *names)).permutation(n)
