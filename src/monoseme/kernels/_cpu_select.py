"""Hot loops of the exact selection: candidates are scored again in float32 and cut exactly.

`four_dots` makes all values that leave the kernels; its order of summation depends on the width alone.
Loops take more arrays than other functions take arguments: Numba knows no objects worth passing.
Letters: B rows of a chunk, D model width, F latents, K kept per row.
"""

import numpy as np
from numba import prange

from monoseme.kernels._compiled import Array, parallel, serial
from monoseme.kernels._cpu_screen import block_bounds, block_count, block_largest, candidates, floor_of, n_reaching

_LARGEST = np.float32(3.4028235e38)
_RANKED = 128
"""Up to so many entries are put in order by counting: k^2 comparisons of neighbours in memory, faster than a sort of few."""


@serial
def four_dots(row: Array, one: Array, two: Array, three: Array, four: Array) -> tuple[np.float32, ...]:
    """Four float32 sums of products: rows of weights come from afar, and four at a time come faster than one by one.

    Everything is scored by this loop, in fours filled up with repetitions, so that a sum has the same bits wherever it is made.
    """
    first, second, third, fourth = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for d in range(row.shape[0]):
        first += row[d] * one[d]
        second += row[d] * two[d]
        third += row[d] * three[d]
        fourth += row[d] * four[d]
    return first, second, third, fourth


@serial
def score(row: Array, weight: Array, bias: Array, latents: Array, first: int, last: int, exact: Array) -> None:
    """Pre-activations of the latents at the places first to last - 1."""
    for i in range(first, last, 4):
        one, two, three = latents[i], latents[min(i + 1, last - 1)], latents[min(i + 2, last - 1)]
        four = latents[min(i + 3, last - 1)]
        sums = four_dots(row, weight[one], weight[two], weight[three], weight[four])
        exact[i] = sums[0] + bias[one]
        if i + 1 < last:
            exact[i + 1] = sums[1] + bias[two]
        if i + 2 < last:
            exact[i + 2] = sums[2] + bias[three]
        if i + 3 < last:
            exact[i + 3] = sums[3] + bias[four]


@parallel
def topk_rows(halves: Array, wide: Array, rows: Array, weight: Array, bias: Array, raised: Array, reach: Array, slacks: Array,
              wobble: float, give: float, room: int, latents: Array, values: Array, scored: Array,
              n_parts: int) -> None:  # fmt: skip
    """The K largest pre-activations of each row, by latent; `scored` is how many were computed, -1 if the row is uncertified."""
    n_rows, k = latents.shape
    n_blocks = block_count(raised.shape[0], k)
    for part in prange(n_parts):
        blocks, opened = np.empty((5, n_blocks), np.float32), np.empty(n_blocks + 1, np.int32)
        found, bounds = np.empty(room, np.int32), np.empty((3, room), np.float32)
        block_largest(raised, blocks[3])
        block_largest(reach, blocks[4])
        for row in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            scored[row] = -1
            slack = slacks[row]
            if not (slack <= _LARGEST):
                continue
            block_bounds(halves, wide, row, raised, slack, wobble, give, blocks)
            n = candidates(halves, wide, row, raised, reach, slack, wobble, give, blocks, opened, k, found, bounds[0], bounds[1])
            if n < 0:
                continue
            scored[row] = _cut(rows[row], weight, bias, n, found, bounds, latents[row], values[row])


@serial
def _cut(row: Array, weight: Array, bias: Array, n: int, found: Array, bounds: Array, latents: Array,
         values: Array) -> int:  # fmt: skip
    """The k largest of n candidates, exactly; returns how many were scored. `bounds` are upper, lower, and room for scores.

    First some k whose lower bounds are the largest. The least of their k best pre-activations is a floor that an upper bound must
    reach: by then the margin of the screen counts once, not twice.
    """
    uppers, lowers, exact, k = bounds[0], bounds[1], bounds[2], latents.shape[0]
    floor = floor_of(lowers, n, k, k // 8)
    n_first = 0
    for i in range(n):
        if lowers[i] >= floor:
            _swap(found, uppers, lowers, i, n_first)
            n_first += 1
    score(row, weight, bias, found, 0, n_first, exact)
    floor = floor_of(exact, n_first, k, 0)
    n_scored = n_first
    for i in range(n_first, n):
        if uppers[i] >= floor:
            found[n_scored] = found[i]
            n_scored += 1
    score(row, weight, bias, found, n_first, n_scored, exact)
    floor = floor_of(exact, n_scored, k, 0)
    if k > _RANKED or n_reaching(exact, n_scored, floor) > k:
        _sort_pairs(found, exact, n_scored)
        _keep_largest(found, exact, n_scored, latents, values)
    else:
        _place_reaching(found, exact, n_scored, floor, latents, values)
    return n_scored


@serial
def _place_reaching(found: Array, exact: Array, n: int, floor: float, latents: Array, values: Array) -> None:
    """The k entries that reach the floor, in order of latent: each goes where the number of lower latents says."""
    n_kept = 0
    for i in range(n):
        found[n_kept], exact[n_kept] = found[i], exact[i]
        n_kept += int(exact[i] >= floor)
    for i in range(n_kept):
        place = np.int32(0)
        for j in range(n_kept):
            place = np.int32(place + np.int32(found[j] < found[i]))
        latents[place], values[place] = found[i], exact[i]


@serial
def _swap(found: Array, uppers: Array, lowers: Array, i: int, j: int) -> None:
    found[i], found[j] = found[j], found[i]
    uppers[i], uppers[j] = uppers[j], uppers[i]
    lowers[i], lowers[j] = lowers[j], lowers[i]


@serial
def _sort_pairs(keys: Array, values: Array, n: int) -> None:
    """By ascending key; shell sort, the shortest that does well on the tens to thousands there are."""
    gap = n
    while gap > 1:
        gap = max(1, int(gap * 5 // 11))
        for i in range(gap, n):
            key, value, j = keys[i], values[i], i
            while j >= gap and keys[j - gap] > key:
                keys[j], values[j] = keys[j - gap], values[j - gap]
                j -= gap
            keys[j], values[j] = key, value


@serial
def _keep_largest(found: Array, exact: Array, n: int, latents: Array, values: Array) -> None:
    """The k largest of n finite values that are in order of latent; ties go to the lowest latent."""
    k = latents.shape[0]
    floor = floor_of(exact, n, k, 0)
    n_ties = k - _n_above(exact, n, floor)
    place, i = 0, 0
    while place < k and i < n:  # written always, kept by the count: a branch would be mispredicted at each find
        tie = int(exact[i] == floor) & int(n_ties > 0)
        latents[place], values[place] = found[i], exact[i]
        place += int(exact[i] > floor) | tie
        n_ties -= tie
        i += 1


@serial
def _n_above(values: Array, n: int, floor: float) -> np.int32:
    count = np.int32(0)
    for i in range(n):
        count = np.int32(count + np.int32(values[i] > floor))
    return count


@parallel
def largest_of_rows(pre: Array, latents: Array, values: Array, finite: Array, n_parts: int) -> None:
    """The K largest entries of each row of a matrix, by latent; rows with NaN or infinity are left alone and marked."""
    n_rows, n_latents = pre.shape
    for part in prange(n_parts):
        every = np.arange(n_latents).astype(np.int32)
        for row in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            finite[row] = _n_finite(pre[row]) == n_latents
            if finite[row]:
                _keep_largest(every, pre[row], n_latents, latents[row], values[row])


@serial
def _n_finite(values: Array) -> np.int32:
    count = np.int32(0)
    for i in range(values.shape[0]):
        count = np.int32(count + np.int32(abs(values[i]) <= _LARGEST))
    return count


@parallel
def all_scores(rows: Array, weight: Array, bias: Array, out: Array, n_parts: int) -> None:
    """Every pre-activation of some rows."""
    n_latents = weight.shape[0]
    for part in prange(n_parts):
        every = np.arange(n_latents)
        for first in range(part * n_latents // n_parts, (part + 1) * n_latents // n_parts, 4):
            last = min(first + 4, (part + 1) * n_latents // n_parts)
            for row in range(rows.shape[0]):
                score(rows[row], weight, bias, every, first, last, out[row])


@parallel
def score_again(rows: Array, weight: Array, bias: Array, offsets: Array, latents: Array, uppers: Array, floor: float,
                lowers: Array, ceiling: float, values: Array, n_parts: int) -> None:  # fmt: skip
    """Pre-activations of those entries whose upper bound reaches the floor and whose lower bound is below the ceiling."""
    n_rows = offsets.shape[0] - 1
    for part in prange(n_parts):
        some, places, exact = np.empty(4, np.int32), np.empty(4, np.int64), np.empty(4, np.float32)
        for row in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            n = 0
            for i in range(offsets[row], offsets[row + 1]):
                if uppers[i] >= floor and lowers[i] < ceiling:
                    some[n], places[n] = latents[i], i
                    n += 1
                if n == 4 or (n > 0 and i + 1 == offsets[row + 1]):
                    score(rows[row], weight, bias, some, 0, n, exact)
                    for j in range(n):
                        values[places[j]] = exact[j]
                    n = 0
