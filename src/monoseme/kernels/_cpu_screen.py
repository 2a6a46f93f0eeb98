"""Hot loops of the screen: what each row's rounding lost, and which latents may be among the chosen.

A screen score p stands for the dot product of a row with a latent, up to the margin e = wobble |p| + slack n, where `wobble` is
the relative rounding of the score itself, `slack` a number of the row and n a number of the latent (its `reach`); see
`monoseme.kernels._certificate`. So the pre-activation lies between `lower` = p + b - e and `upper` = p + b + e. `raised` is b
plus what the addition of b may round off, `give` twice the largest such roundoff.

Loops take more arrays than other functions take arguments: Numba knows no objects worth passing.
Letters: B rows of a chunk, D model width, F latents.
"""

import numpy as np
from numba import prange

from monoseme.kernels._compiled import Array, parallel, serial

_MOST_BLOCK = 16
"""Latents per block, at most. Blocks are strided, so that their maxima run along contiguous memory."""


@parallel
def round_rows(rows: Array, halves: Array, norms: Array, lost: Array, n_parts: int) -> None:
    """bfloat16 bits of the rows (to nearest, ties to even), |row| and |row - rounded|; norms in float64."""
    n_rows = rows.shape[0]
    for part in prange(n_parts):
        for row in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            _round(rows[row].view(np.uint32), halves[row])
            norms[row] = np.sqrt(_squares(rows[row]))
            lost[row] = np.sqrt(_squared_rest(rows[row], halves[row]))


@serial
def _round(bits: Array, halves: Array) -> None:
    for d in range(bits.shape[0]):
        word = np.uint32(bits[d])
        odd = np.uint32(np.uint32(word >> np.uint32(16)) & np.uint32(1))
        halves[d] = np.uint16(np.uint32(word + np.uint32(0x7FFF) + odd) >> np.uint32(16))


@serial
def _squares(row: Array) -> float:
    total = 0.0
    for d in range(row.shape[0]):
        wide = np.float64(row[d])
        total += wide * wide
    return total


@serial
def _squared_rest(row: Array, halves: Array) -> float:
    total = 0.0
    for d in range(row.shape[0]):
        rest = np.float64(row[d]) - np.float64(widened(halves[d]))
        total += rest * rest
    return total


@serial
def widened(half: int) -> np.float32:
    """The float32 of bfloat16 bits."""
    return np.uint32(np.uint32(half) << np.uint32(16)).view(np.float32)


@serial
def widen(halves: Array, out: Array) -> None:
    """float32 scores of bfloat16 bits."""
    for i in range(halves.shape[0]):
        out[i] = widened(halves[i])


@serial
def block_count(n_latents: int, k: int) -> int:
    """Blocks to look at first: at least 2k of them if there are as many latents."""
    width = _MOST_BLOCK
    while width > 1 and n_latents // width < 2 * k:
        width //= 2
    return max(1, n_latents // width)


@serial
def block_largest(values: Array, largest: Array) -> None:
    """The largest value of each block; block q holds the latents q, q + n_blocks, ..."""
    n_blocks = largest.shape[0]
    largest[:] = values[:n_blocks]
    for start in range(n_blocks, values.shape[0], n_blocks):
        some = values[start : start + n_blocks]
        for i in range(some.shape[0]):
            largest[i] = some[i] if some[i] > largest[i] else largest[i]


@serial
def _block_largest_half(halves: Array, largest: Array) -> None:
    n_blocks = largest.shape[0]
    widen(halves[:n_blocks], largest)
    for start in range(n_blocks, halves.shape[0], n_blocks):
        some = halves[start : start + n_blocks]
        for i in range(some.shape[0]):
            score = widened(some[i])
            largest[i] = score if score > largest[i] else largest[i]


@serial
def block_tops(halves: Array, wide: Array, row: int, raised: Array, reach: Array, slack: float, wobble: float,
               tops: Array) -> None:  # fmt: skip
    """What no upper bound of a block exceeds; `raised` and `reach` are the largest of each block.

    Raising a score raises score + wobble |score|, so the largest score of a block stands for all.
    """
    if wide.shape[0] > 0:
        block_largest(wide[row], tops)
    else:
        _block_largest_half(halves[row], tops)
    for block in range(tops.shape[0]):
        tops[block] = tops[block] + raised[block] + (wobble * abs(tops[block]) + slack * reach[block])


@serial
def candidates(halves: Array, wide: Array, row: int, raised: Array, reach: Array, slack: float, wobble: float, give: float,
               blocks: Array, k: int, latents: Array, uppers: Array, lowers: Array) -> int:  # fmt: skip
    """Latents that may be among the row's k largest, in no order, with their bounds; how many, or -1 if there is no room.

    The k best blocks give one lower bound each; the k-th largest of them is a floor that upper bounds must reach. `blocks` are
    the tops, the largest `raised` and the largest `reach` of each block.
    """
    tops, n_blocks, n = blocks[0], blocks.shape[1], 0
    best = floor_of(tops, n_blocks, k, k // 8)
    for block in range(n_blocks):
        if tops[block] >= best and n < latents.shape[0]:
            lowers[n] = _one_lower(halves, wide, row, raised, reach, slack, wobble, block, n_blocks) - give
            n += 1
    floor, n = floor_of(lowers, n, k, k // 8), 0
    for block in range(n_blocks):
        if tops[block] >= floor:
            if n + raised.shape[0] // n_blocks >= latents.shape[0]:
                return -1
            needed = floor - blocks[1, block] - slack * blocks[2, block] - give
            latent = block
            while latent < raised.shape[0]:
                score = wide[row, latent] if wide.shape[0] > 0 else widened(halves[row, latent])
                latents[n] = latent
                n += int(score + wobble * abs(score) >= needed)
                latent += n_blocks
    return _bounded(halves, wide, row, raised, reach, slack, wobble, give, floor, n, latents, uppers, lowers)


@serial
def _bounded(halves: Array, wide: Array, row: int, raised: Array, reach: Array, slack: float, wobble: float, give: float,
             floor: float, n: int, latents: Array, uppers: Array, lowers: Array) -> int:  # fmt: skip
    """Bounds of n latents; those whose upper bound reaches the floor are kept."""
    n_kept = 0
    for i in range(n):
        latent = latents[i]
        score = wide[row, latent] if wide.shape[0] > 0 else widened(halves[row, latent])
        margin = wobble * abs(score) + slack * reach[latent]
        upper = score + raised[latent] + margin
        latents[n_kept], uppers[n_kept], lowers[n_kept] = latent, upper, upper - (margin + margin + give)
        n_kept += int(upper >= floor)
    return n_kept


@serial
def _one_lower(halves: Array, wide: Array, row: int, raised: Array, reach: Array, slack: float, wobble: float, block: int,
               n_blocks: int) -> float:  # fmt: skip
    """The lower bound of a promising latent of the block: the one whose estimate is the largest."""
    chosen, most, margin = block, np.float32(-np.inf), np.float32(0)
    latent = block
    while latent < raised.shape[0]:
        score = wide[row, latent] if wide.shape[0] > 0 else widened(halves[row, latent])
        if score + raised[latent] > most:
            chosen, most, margin = latent, score + raised[latent], wobble * abs(score)
        latent += n_blocks
    return most - margin - slack * reach[chosen]


@serial
def floor_of(values: Array, n: int, k: int, spare: int) -> float:
    """A number that between k and k + spare of the first n finite values reach; with ties perhaps more, with spare 0 the k-th.

    By bisection: a count along contiguous memory is faster than any sort. Needs n >= k >= 1.
    """
    low, high = values[0], values[0]
    for i in range(1, n):
        low, high = min(low, values[i]), max(high, values[i])
    if n_reaching(values, n, high) >= k:
        return high
    while True:
        middle = np.float32(0.5) * low + np.float32(0.5) * high
        if middle <= low or middle >= high:
            return low
        count = n_reaching(values, n, middle)
        if count >= k:
            low = middle
            if count <= k + spare:
                return low
        else:
            high = middle


@serial
def n_reaching(values: Array, n: int, floor: float) -> np.int32:
    """How many of the first n values are at least `floor`."""
    count = np.int32(0)
    for i in range(n):
        count = np.int32(count + np.int32(values[i] >= floor))
    return count


@parallel
def count_reaching(halves: Array, wide: Array, raised: Array, reach: Array, slacks: Array, wobble: float, floor: float,
                   counts: Array, n_parts: int) -> None:  # fmt: skip
    """Latents of each row whose upper bound reaches the floor."""
    n_rows, n_latents = counts.shape[0], raised.shape[0]
    for part in prange(n_parts):
        buffer = np.empty(n_latents, np.float32)
        for row in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            scores = row_scores(halves, wide, row, buffer)
            counts[row] = _count_row(scores, raised, reach, slacks[row], wobble, floor)


@serial
def row_scores(halves: Array, wide: Array, row: int, buffer: Array) -> Array:
    """A row of float32 scores: as they are, or where there are none (`wide` is empty) widened into the buffer."""
    if wide.shape[0] > 0:
        return wide[row]
    widen(halves[row], buffer)
    return buffer


@serial
def _count_row(scores: Array, raised: Array, reach: Array, slack: float, wobble: float, floor: float) -> np.int32:
    count = np.int32(0)
    for i in range(scores.shape[0]):
        upper = scores[i] + raised[i] + (wobble * abs(scores[i]) + slack * reach[i])
        count = np.int32(count + np.int32(upper >= floor))
    return count


@parallel
def collect_reaching(halves: Array, wide: Array, raised: Array, reach: Array, slacks: Array, wobble: float, give: float,
                     floor: float, offsets: Array, latents: Array, uppers: Array, lowers: Array,
                     n_parts: int) -> None:  # fmt: skip
    """What `count_reaching` counted: latents in ascending order with their bounds, those of row r from `offsets[r]`."""
    n_rows, n_latents = offsets.shape[0] - 1, raised.shape[0]
    for part in prange(n_parts):
        buffer = np.empty(n_latents, np.float32)
        for row in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            scores, slack, n = row_scores(halves, wide, row, buffer), slacks[row], offsets[row]
            for start in range(0, n_latents, 64):
                size = min(64, n_latents - start)
                one, two, three = scores[start : start + size], raised[start : start + size], reach[start : start + size]
                if _count_row(one, two, three, slack, wobble, floor) == 0:
                    continue
                for i in range(size):
                    margin = wobble * abs(one[i]) + slack * three[i]
                    upper = one[i] + two[i] + margin
                    if upper >= floor:
                        latents[n], uppers[n], lowers[n] = start + i, upper, upper - (margin + margin + give)
                        n += 1
