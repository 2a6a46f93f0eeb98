"""Dot products at many entries of many rows, tile by tile: some rows against some latents, both in a core's own cache meanwhile.

Entry by entry, a row of weights comes from the shared cache each time. With hundreds of entries per row many rows want the same
weights: A's JumpReLU (474 entries per row in its window, 8,192 latents, D 512) took 76 ms of two cores' time that way and takes
29 in tiles.

Letters: B rows, D model width, F latents, nnz entries.
"""

from numba import prange

from monoseme.kernels._compiled import Array, parallel
from monoseme.kernels._cpu_select import four_dots
from monoseme.kernels._threads import launch
from monoseme.tensors.shapes import Float, Int, Tensor

_TILE_ELEMENTS = 2**17
"""Of the rows, and of the weights, of a tile: twice 512 kB fit the second cache of a core."""
_FEW = 4
"""Entries are done in fours: with fewer per row of a tile than this the fours would not be full."""


def tiles_pay(nnz: int, rows: Float[Tensor, "B D"], n_latents: int) -> bool:
    """Whether so many entries fill tiles."""
    return nnz * _side(rows.shape[1]) > _FEW * rows.shape[0] * n_latents


def dots_at(
    rows: Float[Tensor, "B D"],
    weight: Float[Tensor, "F D"],
    bias: Float[Tensor, " F"],
    *,
    offsets: Int[Tensor, " rows_and_one"],
    latents: Int[Tensor, " nnz"],
    out: Float[Tensor, " nnz"],
) -> None:
    """Writes rows[r] . weight[f] + bias[f] for each entry (r, f); the bits depend on D alone, and are those of every selection.

    float32, contiguous, on the CPU. Entries of a row are best in order of latent; any other order is slower, not wrong.
    """
    side = _side(rows.shape[1])
    sides = (side, side) if tiles_pay(latents.shape[0], rows, weight.shape[0]) else (1, weight.shape[0])
    arrays = (t.detach().numpy() for t in (rows, weight, bias, offsets, latents))
    with launch():
        _dots_of_tiles(*arrays, *sides, out.numpy())


def _side(width: int) -> int:
    return max(1, _TILE_ELEMENTS // width)


@parallel
def _dots_of_tiles(rows: Array, weight: Array, bias: Array, offsets: Array, latents: Array, n_rows: int, n_latents: int,
                   out: Array) -> None:  # fmt: skip
    """Takes a thread's rows through the latents from the first to the last, four entries at a time: repeated ones fill them up.

    `following` is where each row's entries go on.
    """
    for tile in prange((rows.shape[0] + n_rows - 1) // n_rows):
        low, high = tile * n_rows, min(rows.shape[0], (tile + 1) * n_rows)
        following = offsets[low:high].copy()
        for start in range(0, weight.shape[0], n_latents):
            for row in range(low, high):
                p, last = following[row - low], offsets[row + 1] - 1
                while p <= last and latents[p] < start + n_latents:
                    one, two, three = latents[p], latents[min(p + 1, last)], latents[min(p + 2, last)]
                    four = latents[min(p + 3, last)]
                    sums = four_dots(rows[row], weight[one], weight[two], weight[three], weight[four])
                    out[p] = sums[0] + bias[one]
                    if p < last:
                        out[p + 1] = sums[1] + bias[two]
                    if p + 1 < last:
                        out[p + 2] = sums[2] + bias[three]
                    if p + 2 < last:
                        out[p + 3] = sums[3] + bias[four]
                    p += 4
                following[row - low] = p
