"""The encoder's product, of which only the few best of each tile of latents reach memory.

For a row x and a latent w with bias b, rounded to x' and w', the screening score and a bound on how far it can be from the
float32 pre-activation are

    s = x'.w' + b
    e = 1.01 (|x'| |w - w'| + |x - x'| W + g (|x'| + |x - x'|) W + 2^-22 size),      W = |w'| + |w - w'|

by x.w - x'.w' = x'.(w - w') + (x - x').w and Cauchy-Schwarz. g = 2^-22 (D + 8) covers the rounding of both sums (tensor cores
cut each addend to 23 bits of the largest; D additions), `size` that of what is added, 1 % that of e itself.

What competes in a tile is u = s + e, the most the pre-activation can be; the C largest of each row and tile are written. All
that were dropped have u at most that of the last one kept, which is what a certificate needs.

A program makes one tile of B x F scores in registers (float32 accumulators of the tensor cores) and turns each into a key: the
bits of u as an ordered integer, whose low bits give way to the column in the tile. C times it takes the largest key of each row
and strikes it out: three instructions per score and round, no sort, no shared memory but for the maximum. Row tiles vary fastest
within a group, so that the programs in flight share the tiles of the encoder, which is read from memory once, and the rows stay
in the second-level cache.

Traffic: reads the operands once, writes 4 C bytes per row and tile where the dense matrix had 512.
Letters: B rows, D width, F latents, T tiles of latents, C kept per tile.
"""

# pyright: reportInvalidTypeForm=false, reportMissingParameterType=false, reportGeneralTypeIssues=false
# pyright: reportCallIssue=false, reportArgumentType=false
from typing import NamedTuple

import torch
import triton
import triton.language as tl

from monoseme.kernels._gpu_launch import INTERPRETED, kernel, launch
from monoseme.kernels._gpu_order import LOWEST, ordered
from monoseme.kernels._half import HalfCopy
from monoseme.tensors.shapes import Float, Int, Tensor


class Tiles(NamedTuple):
    """How a product is cut up; powers of two, 16 at least."""

    rows: int
    latents: int
    width: int
    stages: int
    warps: int
    registers: int
    """Most of a thread."""


HALF_TILES = Tiles(rows=128, latents=128, width=64, stages=3, warps=8, registers=128)
"""Two programs fit on a multiprocessor of an H100 (2 x 256 threads x 128 registers, 2 x 96 KB of shared memory), so that one
takes its maxima while the tensor cores work for the other. Half the registers are accumulators; nothing is spilled."""
FULL_TILES = Tiles(rows=64, latents=128, width=32, stages=2, warps=8, registers=128)
"""float32 without tensor cores: operands pass through registers, so the tile is smaller."""
_GROUP = 16
"""Row tiles that share one pass over the encoder: 2,048 rows, which at width 768 are 3 MB of bfloat16."""
_ROUNDING = 2.0**-22
_LEAST_KEPT = 8
"""With fewer, the registers of the epilogue do not suffice (as compiled for an H100 by Triton 3.9), and no round is saved."""
_LATENTS_PER_KEPT = 4
"""Latents of a tile per one kept, at least; else a dense product is the better way."""


class Screened(NamedTuple):
    """Keys of the best latents of each row and tile, with what is needed to read them."""

    keys: Int[Tensor, "B T_C"]
    kept: int
    x: HalfCopy
    latents: HalfCopy
    size: Float[Tensor, " F"]
    tile: int
    """Latents per tile."""

    @property
    def slack(self) -> float:
        """g of the module's docstring."""
        return _ROUNDING * (self.x.rows.shape[1] + 8)


def kept_per_tile(per_row: int, n_latents: int) -> int | None:
    """C for about `per_row` candidates of interest in a row; None where tiles do not pay.

    Candidates fall on tiles like balls into bins: the mean and four standard deviations, and two. A power of two.
    """
    mean = 2 * per_row / -(-n_latents // HALF_TILES.latents)
    kept = max(_LEAST_KEPT, triton.next_power_of_2(int(mean + 4 * mean**0.5 + 2)))
    return kept if kept * _LATENTS_PER_KEPT <= HALF_TILES.latents else None


def screen(x: HalfCopy, latents: HalfCopy, bias: Float[Tensor, " F"], size: Float[Tensor, " F"], *, kept: int) -> Screened:
    """The `kept` best latents of each tile of every row. `size` is what was added up to make the bias, as absolute values."""
    tiles = FULL_TILES if x.rows.dtype == torch.float32 else HALF_TILES
    n_rows, n_latents, width = x.rows.shape[0], latents.rows.shape[0], x.rows.shape[1]
    n_tiles = triton.cdiv(n_latents, tiles.latents)
    keys = torch.empty(n_rows, n_tiles * kept, dtype=torch.int32, device=x.rows.device)
    made = Screened(keys, kept, x, latents, size, tiles.latents)
    launch(
        _screen, triton.cdiv(n_rows, tiles.rows) * n_tiles,
        x.rows, latents.rows, x.norms, x.lost, latents.norms, latents.lost, bias, size, keys,
        n_rows, n_latents, width, n_tiles, made.slack,
        BLOCK_B=tiles.rows, BLOCK_F=tiles.latents, BLOCK_D=tiles.width, KEPT=kept, GROUP=_GROUP,
        WHOLE=width % tiles.width == 0, WIDEN=INTERPRETED,
        num_warps=tiles.warps, num_stages=tiles.stages, maxnreg=tiles.registers,
    )  # fmt: skip
    return made


@kernel
def row_terms(norm, lost, slack):
    """What a row brings to its error bounds: e = around * length + along * lost + rest."""
    norm, lost = norm + _FLOOR, lost + _FLOOR
    return 1.01 * (lost + slack * (norm + lost)), 1.01 * norm


@kernel
def latent_terms(norm, lost, size):
    """What a latent brings to its error bounds: length, lost and rest."""
    norm, lost = norm + _FLOOR, lost + _FLOOR
    return norm + lost, lost, 1.01 * _BIAS_ROUNDING * size


@kernel
def unpack(key, slot, BLOCK_F: tl.constexpr, KEPT: tl.constexpr):
    """The latent of a key, and u as two ordered integers, one below it and one above."""
    latent = slot // KEPT * BLOCK_F + (BLOCK_F - 1 - (key & (BLOCK_F - 1)))
    return latent, key & ~(BLOCK_F - 1), key | (BLOCK_F - 1)


_BIAS_ROUNDING = tl.constexpr(_ROUNDING)
_FLOOR = tl.constexpr(2.0**-56)
"""More than a norm at width 8192 loses where squares fall below what float32 can hold."""


@kernel
def _screen(x, w, x_norms, x_lost, w_norms, w_lost, bias, size, keys, n_rows, n_latents, width, n_tiles, slack,
            BLOCK_B: tl.constexpr, BLOCK_F: tl.constexpr, BLOCK_D: tl.constexpr, KEPT: tl.constexpr, GROUP: tl.constexpr,
            WHOLE: tl.constexpr, WIDEN: tl.constexpr):  # fmt: skip
    program = tl.program_id(0)
    in_band = GROUP * n_tiles
    first = program // in_band * GROUP
    n_together = tl.minimum(tl.cdiv(n_rows, BLOCK_B) - first, GROUP)
    row = (first + program % in_band % n_together) * BLOCK_B + tl.arange(0, BLOCK_B)
    tile = program % in_band // n_together
    column = tl.arange(0, BLOCK_F)
    latent = tile * BLOCK_F + column
    # What lies beyond the matrix is read as its last row, and not written.
    real_row = tl.minimum(row, n_rows - 1).to(tl.int64)
    real_latent = tl.minimum(latent, n_latents - 1).to(tl.int64)
    score = _product(x, w, real_row, real_latent, width, BLOCK_B, BLOCK_F, BLOCK_D, WHOLE, WIDEN)
    around, along = row_terms(tl.load(x_norms + real_row), tl.load(x_lost + real_row), slack)
    length, lost, rest = latent_terms(tl.load(w_norms + real_latent), tl.load(w_lost + real_latent), tl.load(size + real_latent))
    # One term after the other: their vectors are not all in registers at once.
    most = score + (tl.load(bias + real_latent) + rest)[None, :]
    most += along[:, None] * lost[None, :]
    most += around[:, None] * length[None, :]
    key = (ordered(most) & ~(BLOCK_F - 1)) | (BLOCK_F - 1 - column)[None, :]
    key = tl.where((latent < n_latents)[None, :], key, LOWEST)
    slot = tl.arange(0, KEPT)
    best = _largest(key, slot, BLOCK_B, KEPT)
    into = keys + row.to(tl.int64)[:, None] * (n_tiles * KEPT) + tile * KEPT + slot[None, :]
    tl.store(into, best, mask=(row < n_rows)[:, None])


@kernel
def _product(x, w, row, latent, width, BLOCK_B: tl.constexpr, BLOCK_F: tl.constexpr, BLOCK_D: tl.constexpr,
             WHOLE: tl.constexpr, WIDEN: tl.constexpr):  # fmt: skip
    """x.w of a tile, accumulated in float32. The interpreter's dot knows no bfloat16: there the operands are widened, exactly."""
    inner = tl.arange(0, BLOCK_D)
    total = tl.zeros((BLOCK_B, BLOCK_F), tl.float32)
    for start in range(0, width, BLOCK_D):
        column = start + inner[None, :]
        inside = None if WHOLE else column < width
        nothing = None if WHOLE else 0.0
        left = tl.load(x + row[:, None] * width + column, mask=inside, other=nothing)
        right = tl.load(w + latent[:, None] * width + column, mask=inside, other=nothing)
        if WIDEN:
            left, right = left.to(tl.float32), right.to(tl.float32)
        total = tl.dot(left, tl.trans(right), total, input_precision="ieee")
    return total


@kernel
def _largest(key, slot, BLOCK_B: tl.constexpr, KEPT: tl.constexpr):
    """The KEPT largest keys of each row, largest first; keys are different, but for LOWEST."""
    best = tl.full((BLOCK_B, KEPT), LOWEST, tl.int32)
    for place in tl.static_range(KEPT):
        top = tl.max(key, 1)
        best = tl.where((slot == place)[None, :], top[:, None], best)
        key = tl.where(key == top[:, None], LOWEST, key)
    return best
