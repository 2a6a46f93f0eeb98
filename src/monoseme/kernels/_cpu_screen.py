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
    largest[:] = -np.inf
    for start in range(0, values.shape[0], largest.shape[0]):
        some = values[start : start + largest.shape[0]]
        for i in range(some.shape[0]):
            largest[i] = max(largest[i], some[i])


@serial
def block_bounds(halves: Array, wide: Array, row: int, raised: Array, slack: float, wobble: float, give: float,
                 blocks: Array) -> None:  # fmt: skip
    """What no upper bound of a block exceeds, and a lower bound of some latent of it, into rows 0 and 1 of `blocks`.

    Row 2 takes the largest |score| of each block, rows 3 and 4 are the largest raised and the largest reach. With s = score +
    raised, an upper bound is at most the largest s of the block + wobble times the largest |score| + slack reach; the latent that
    has that s is at least as far above the same terms taken off.
    """
    upper, lower, sizes, reach = blocks[0], blocks[1], blocks[2], blocks[4]
    if wide.shape[0] > 0:
        _block_sums(wide[row], raised, upper, sizes)
    else:
        _block_sums_half(halves[row], raised, upper, sizes)
    for block in range(upper.shape[0]):
        margin = wobble * sizes[block] + slack * reach[block]
        lower[block] = upper[block] - margin - give
        upper[block] = upper[block] + margin


@serial
def _block_sums(scores: Array, raised: Array, largest: Array, sizes: Array) -> None:
    """The largest score + raised, and the largest |score|, of each block."""
    n_blocks = largest.shape[0]
    largest[:], sizes[:] = -np.inf, 0.0
    for start in range(0, scores.shape[0], n_blocks):
        some, more = scores[start : start + n_blocks], raised[start : start + n_blocks]
        for i in range(some.shape[0]):
            total, size = some[i] + more[i], abs(some[i])
            largest[i] = total if total > largest[i] else largest[i]
            sizes[i] = size if size > sizes[i] else sizes[i]


@serial
def _block_sums_half(halves: Array, raised: Array, largest: Array, sizes: Array) -> None:
    n_blocks = largest.shape[0]
    largest[:], sizes[:] = -np.inf, 0.0
    for start in range(0, halves.shape[0], n_blocks):
        some, more = halves[start : start + n_blocks], raised[start : start + n_blocks]
        for i in range(some.shape[0]):
            score = widened(some[i])
            total, size = score + more[i], abs(score)
            largest[i] = total if total > largest[i] else largest[i]
            sizes[i] = size if size > sizes[i] else sizes[i]


@serial
def candidates(halves: Array, wide: Array, row: int, raised: Array, reach: Array, slack: float, wobble: float, give: float,
               blocks: Array, opened: Array, k: int, latents: Array, uppers: Array, lowers: Array) -> int:  # fmt: skip
    """Latents that may be among the row's k largest, in no order, with their bounds; how many, or -1 if there is no room.

    `blocks` is what `block_bounds` left: some latent of each block is above its lower bound, so that the k-th largest of these is
    a floor that the upper bounds of the k largest latents reach. `opened` is room for the blocks that reach it.
    """
    n_blocks = blocks.shape[1]
    width = (raised.shape[0] + n_blocks - 1) // n_blocks
    floor, n = floor_of(blocks[1], n_blocks, k, k // 8), 0
    for i in range(_reaching(blocks[0], floor, opened)):
        block = opened[i]
        if n + width > latents.shape[0]:
            return -1
        needed = floor - blocks[3, block] - slack * blocks[4, block] - give
        for latent in range(block, raised.shape[0], n_blocks):
            score = wide[row, latent] if wide.shape[0] > 0 else widened(halves[row, latent])
            latents[n] = latent
            n += int(score + wobble * abs(score) >= needed)
    return _bounded(halves, wide, row, raised, reach, slack, wobble, give, floor, n, latents, uppers, lowers)


@serial
def _reaching(values: Array, floor: float, places: Array) -> int:
    """Places of the values that reach the floor, in order; `places` has room for all and one more. Returns how many."""
    n = 0
    for i in range(values.shape[0]):  # written always, kept by the count: a branch would be mispredicted at each find
        places[n] = i
        n += int(values[i] >= floor)
    return n


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
def bounds_at(halves: Array, wide: Array, raised: Array, reach: Array, slacks: Array, wobble: float, give: float, offsets: Array,
              latents: Array, uppers: Array, lowers: Array) -> None:  # fmt: skip
    """Both bounds of the entries (r, latents[p]), p in offsets[r]:offsets[r + 1]."""
    for row in prange(offsets.shape[0] - 1):
        for p in range(offsets[row], offsets[row + 1]):
            latent = latents[p]
            score = wide[row, latent] if wide.shape[0] > 0 else widened(halves[row, latent])
            margin = wobble * abs(score) + slacks[row] * reach[latent]
            upper = score + raised[latent] + margin
            uppers[p], lowers[p] = upper, upper - (margin + margin + give)
