"""Hot loops of the exact selection: candidates are scored again in float32 and cut exactly.

`dot` is the one product whose values leave the kernels; its order of summation depends on the width alone.
Loops take more arrays than other functions take arguments: Numba knows no objects worth passing.
Letters: B rows of a chunk, D model width, F latents, K kept per row.
"""

import numpy as np
from numba import prange

from monoseme.kernels._compiled import Array, parallel, serial
from monoseme.kernels._cpu_screen import block_bounds, block_count, floor_of, n_reaching, open_blocks, row_scores

_LARGEST = np.float32(3.4028235e38)


@serial
def dot(one: Array, two: Array) -> np.float32:
    """Float32 sum of products."""
    total = np.float32(0)
    for d in range(one.shape[0]):
        total += one[d] * two[d]
    return total


@parallel
def topk_rows(halves: Array, wide: Array, rows: Array, weight: Array, bias: Array, raised: Array, reach: Array, slacks: Array,
              wobble: float, give: float, room: int, latents: Array, values: Array, scored: Array,
              n_parts: int) -> None:  # fmt: skip
    """The K largest pre-activations of each row, by latent; `scored` is how many were computed, -1 if the row is uncertified."""
    n_rows, k = latents.shape
    n_latents = raised.shape[0]
    n_blocks = block_count(n_latents, k)
    for part in prange(n_parts):
        buffer, tops, bottoms = np.empty(n_latents, np.float32), np.empty(n_blocks, np.float32), np.empty(n_blocks, np.float32)
        found, exact = np.empty(room, np.int32), np.empty(room, np.float32)
        uppers, lowers = np.empty(room, np.float32), np.empty(room, np.float32)
        for row in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            scored[row] = -1
            slack = slacks[row]
            if not (slack <= _LARGEST):
                continue
            scores = row_scores(halves, wide, row, buffer)
            block_bounds(scores, raised, reach, slack, wobble, give, tops, bottoms)
            floor = floor_of(bottoms, n_blocks, k, k // 8)
            n = open_blocks(scores, raised, reach, slack, wobble, give, tops, floor, found, uppers, lowers)
            if n < 0:
                continue
            n = _score_again(rows[row], weight, bias, k, n, found, uppers, lowers, exact)
            scored[row] = n
            _sort_pairs(found, exact, n)
            _keep_largest(found, exact, n, latents[row], values[row])


@serial
def _score_again(row: Array, weight: Array, bias: Array, k: int, n: int, found: Array, uppers: Array, lowers: Array,
                 exact: Array) -> int:  # fmt: skip
    """Scores the candidates that may be among the k largest and moves them to the front; returns how many.

    First some k whose lower bounds are the largest. The least of their k best pre-activations is a floor that an upper bound must
    reach: by then the margin of the screen counts once, not twice.
    """
    floor = floor_of(lowers, n, k, k // 8)
    n_first = 0
    for i in range(n):
        if lowers[i] >= floor:
            _swap(found, uppers, lowers, i, n_first)
            exact[n_first] = dot(row, weight[found[n_first]]) + bias[found[n_first]]
            n_first += 1
    floor = floor_of(exact, n_first, k, 0)
    n_scored = n_first
    for i in range(n_first, n):
        if uppers[i] >= floor:
            found[n_scored] = found[i]
            exact[n_scored] = dot(row, weight[found[i]]) + bias[found[i]]
            n_scored += 1
    return n_scored


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
    place = 0
    for i in range(n):
        tie = exact[i] == floor
        if exact[i] > floor or (tie and n_ties > 0):
            n_ties -= int(tie)
            latents[place], values[place] = found[i], exact[i]
            place += 1


@serial
def _n_above(values: Array, n: int, floor: float) -> np.int32:
    count = np.int32(0)
    for i in range(n):
        count += np.int32(values[i] > floor)
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
        count += np.int32(abs(values[i]) <= _LARGEST)
    return count


@parallel
def all_dots(rows: Array, weight: Array, bias: Array, out: Array, n_parts: int) -> None:
    """Every pre-activation of some rows, by the same `dot`."""
    n_latents = weight.shape[0]
    for part in prange(n_parts):
        for latent in range(part * n_latents // n_parts, (part + 1) * n_latents // n_parts):
            for row in range(rows.shape[0]):
                out[row, latent] = dot(rows[row], weight[latent]) + bias[latent]


@parallel
def score_again(rows: Array, weight: Array, bias: Array, offsets: Array, latents: Array, uppers: Array, floor: float,
                lowers: Array, ceiling: float, values: Array, n_parts: int) -> None:  # fmt: skip
    """Pre-activations of those entries whose upper bound reaches the floor and whose lower bound is below the ceiling."""
    n_rows = offsets.shape[0] - 1
    for part in prange(n_parts):
        for row in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            for i in range(offsets[row], offsets[row + 1]):
                if uppers[i] >= floor and lowers[i] < ceiling:
                    values[i] = dot(rows[row], weight[latents[i]]) + bias[latents[i]]


__all__ = ["all_dots", "largest_of_rows", "n_reaching", "score_again", "topk_rows"]
