"""Which examples say the same as a better one: boilerplate and quotations that stand in many documents.

Rule: two examples of one list are near-duplicates if, place by place around the firing, at least 80 % of the tokens are the same
(of the places where either has one; the firing's own token does not count, nor do windows with fewer than 8 tokens around it).

Letters: E examples, W tokens around a firing, G lists, N examples of the longest list.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SAME_FRACTION = 0.8
"""Share of the tokens around two firings, in [0, 1], from which they are near-duplicates."""
_FEWEST_TOKENS = 8
_LISTS_AT_ONCE = 512
_Around = Callable[[NDArray[np.int64]], NDArray[np.int64]]


def says_something_new(group: NDArray[np.int64], around: _Around) -> NDArray[np.bool_]:
    """Which examples have no near-duplicate before them in their list that is itself kept, [E].

    `group` [E]: the list of each, ascending; inside a list the better ones come first. `around(indices)` gives the tokens
    around those examples, [len(indices), W], -1 where there is none.
    """
    kept = np.ones(len(group), dtype=bool)
    begins = np.nonzero(np.diff(group, prepend=-1))[0]
    for first in range(0, len(begins), _LISTS_AT_ONCE):
        starts = begins[first : first + _LISTS_AT_ONCE]
        at = np.arange(starts[0], begins[first + len(starts)] if first + len(starts) < len(begins) else len(group))
        row = np.searchsorted(starts, at, side="right") - 1
        kept[at] = _new_in_lists(row, at - starts[row], around(at).astype(np.int32))
    return kept


def _new_in_lists(row: NDArray[np.int64], place: NDArray[np.int64], tokens: NDArray[np.int32]) -> NDArray[np.bool_]:
    laid = np.full((int(row[-1]) + 1, int(place.max()) + 1, tokens.shape[1]), -1, dtype=np.int32)  # [G, N, W]
    laid[row, place] = tokens
    kept = np.ones(laid.shape[:2], dtype=bool)
    for i in range(1, laid.shape[1]):
        before, mine = laid[:, :i], laid[:, i : i + 1]
        n_same = ((before == mine) & (mine >= 0)).sum(axis=2)
        n_places = ((before >= 0) | (mine >= 0)).sum(axis=2)
        is_same = (n_same >= SAME_FRACTION * n_places) & (n_places >= _FEWEST_TOKENS) & kept[:, :i]
        kept[:, i] = ~is_same.any(axis=1)
    return kept[row, place]
