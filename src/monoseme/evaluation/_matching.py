"""Matching the latents of two SAEs: each with its nearest, and one to one.

By nearest neighbour several latents may share a partner; the assignment (Hungarian method) gives each a partner of its own so
that the sum of similarities is largest. It needs the whole matrix of these, 8 A B bytes, and time that grows like the cube:
1 s for 2,048 latents, 10 s for 4,096. Beyond `most_assigned` there is no assignment, only the nearest.

Source: Kuhn 1955 (assignment); Crouse 2016 (the algorithm of scipy.optimize.linear_sum_assignment).
Letters: A, B latents of the two, D width.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from monoseme.evaluation._correlation import BLOCK_ENTRIES, CodeColumns, correlation_blocks
from monoseme.evaluation._nearest import Nearest, largest_cosines
from monoseme.tensors.shapes import Float, Tensor

MOST_ASSIGNED = 4096


class Matching(NamedTuple):
    """Two sets of latents matched by one measure of similarity."""

    nearest: Nearest
    """Of each of A among B."""
    back: Nearest
    """Of each of B among A."""
    assigned: Nearest | None
    """One to one, of each of A: with more of A than of B some have none. None: too many latents, see `MOST_ASSIGNED`."""

    def turned(self) -> "Matching":
        """Of each of B."""
        assigned = None if self.assigned is None else _turned(self.assigned, len(self.back.partner))
        return Matching(self.back, self.nearest, assigned)


def match_directions(a: Float[Tensor, "A D"], b: Float[Tensor, "B D"], *, most_assigned: int = MOST_ASSIGNED) -> Matching:
    """By the cosine of decoder rows of length 1."""
    assigned = None
    if max(len(a), len(b)) <= most_assigned:
        assigned = assign((a.double() @ b.double().T).numpy())
    return Matching(largest_cosines(a, b), largest_cosines(b, a), assigned)


def match_codes(
    a: CodeColumns, b: CodeColumns, *, most_assigned: int = MOST_ASSIGNED, block_entries: int = BLOCK_ENTRIES
) -> Matching:
    """By the correlation of codes over the same tokens, in one pass over blocks of A; ties go to the lowest number."""
    n_a, n_b = a.codes.shape[1], b.codes.shape[1]
    there, back = _empty(n_a), _empty(n_b)
    kept: list[np.ndarray] | None = [] if max(n_a, n_b) <= most_assigned else None
    for start, block in correlation_blocks(a, b, block_entries=block_entries):
        low = np.nan_to_num(block, nan=-np.inf)
        rows = slice(start, start + len(block))
        if n_b:
            there.partner[rows] = low.argmax(1)
            there.similarity[rows] = block[np.arange(len(block)), there.partner[rows]]
        best = low.argmax(0)
        value = low[best, np.arange(n_b)]
        is_better = value > np.nan_to_num(back.similarity, nan=-np.inf)
        back.similarity[is_better], back.partner[is_better] = value[is_better], start + best[is_better]
        if kept is not None:
            kept.append(block)
    return Matching(there, back, None if kept is None else assign(np.concatenate([np.empty((0, n_b)), *kept])))


def assign(similarity: np.ndarray) -> Nearest:
    """One partner for each row of [A, B], so that the sum is largest; a pair without a similarity (NaN) is not made.

    Where several assignments have the same sum, one of them.
    """
    found = _empty(len(similarity))
    is_there = np.isfinite(similarity)
    rows, columns = linear_sum_assignment(np.where(is_there, similarity, -2.0), maximize=True)
    real = is_there[rows, columns]
    rows, columns = rows[real], columns[real]
    found.similarity[rows], found.partner[rows] = similarity[rows, columns], columns
    return found


def agreement(one: Nearest, other: Nearest) -> np.ndarray:
    """[A] float64: 1 where two matchings of the same latents name the same partner, 0 where not, NaN where one has none."""
    return np.where(one.exists & other.exists, (one.partner == other.partner).astype(np.float64), np.nan)


def _empty(n: int) -> Nearest:
    return Nearest(np.full(n, np.nan), np.zeros(n, np.int64))


def _turned(assigned: Nearest, n: int) -> Nearest:
    made, rows = _empty(n), np.flatnonzero(assigned.exists)
    columns = assigned.partner[rows]
    made.similarity[columns], made.partner[columns] = assigned.similarity[rows], rows
    return made
