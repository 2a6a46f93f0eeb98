"""The few entries of a matrix of scores that reach a limit, found without looking at each: by the maxima of blocks.

Blocks are strided (entry j of block i is column i + j n_blocks), so that their maxima run along contiguous memory. Columns left
over by the blocks are looked at one by one.

Letters: b rows, F latents, W width of a block, n entries in all.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from monoseme.tensors.shapes import Bool, Float, Int, Tensor

_WIDTH = 16
"""Entries per block."""
_GROUP = 4
"""Blocks whose maximum is a step towards the floor of a row."""


class Candidates(NamedTuple):
    """Entries of a matrix, rows ascending; the latents of a row in no particular order."""

    rows: Int[Tensor, " n"]
    latents: Int[Tensor, " n"]


def n_blocks(n_latents: int) -> int:
    """Blocks that a row is cut into."""
    return n_latents // (_WIDTH * _GROUP) * _GROUP


def block_maxima(scores: Float[Tensor, "b F"]) -> Float[Tensor, "b blocks"]:
    """The maximum of each block of each row of bfloat16, where it is not negative; else some entry of the block.

    The bits of bfloat16 numbers order as int16 unless both are negative, and torch finds maxima of int16 in a fifth of the time.
    """
    return _blocks(scores.view(torch.int16)).amax(1).view(torch.bfloat16)


def row_floor(maxima: Float[Tensor, "b blocks"], k: int) -> Float[Tensor, "b 1"]:
    """A score that at least k entries of each row reach: the k-th largest maximum of larger blocks, if they are enough."""
    if maxima.shape[1] >= 2 * k * _GROUP:
        maxima = maxima.unflatten(1, (_GROUP, -1)).amax(1)
    return maxima.topk(k, dim=1, sorted=False).values.amin(1, keepdim=True)


def reaching(scores: Float[Tensor, "b F"], maxima: Float[Tensor, "b blocks"], limit: Float[Tensor, " b"]) -> Candidates:
    """All entries whose score is at least the limit of their row; none where the limit is NaN. `maxima` are `block_maxima`."""
    limit = limit.nan_to_num(torch.inf, torch.inf, -torch.inf)
    if bool((limit <= 0).any()):
        maxima = _blocks(scores).amax(1)
    else:
        scores, maxima, limit = (part.view(torch.int16) for part in (scores, maxima, limit))
    rows, blocks = _marked(maxima >= limit.unsqueeze(1))
    inside = _blocks(scores)[rows, :, blocks]
    hit, step = _marked(inside >= limit[rows].unsqueeze(1))
    found = Candidates(rows[hit], blocks[hit] + step * maxima.shape[1])
    n_blocked = maxima.shape[1] * _WIDTH
    if n_blocked == scores.shape[1]:
        return found
    rows, columns = _marked(scores[:, n_blocked:] >= limit.unsqueeze(1))
    return by_row([found, Candidates(rows, columns + n_blocked)])


def by_row(parts: Sequence[Candidates]) -> Candidates:
    """All together, rows ascending."""
    rows, order = torch.cat([part.rows for part in parts]).sort(stable=True)
    return Candidates(rows, torch.cat([part.latents for part in parts])[order])


def _marked(mask: Bool[Tensor, "r c"]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Rows and columns of what is true; in half the time of `nonzero` on a matrix, and each contiguous."""
    flat = mask.reshape(-1).nonzero().squeeze(1)
    rows = flat.div(mask.shape[1], rounding_mode="floor")
    return rows, flat - rows * mask.shape[1]


def _blocks(scores: Tensor) -> Tensor:
    """[b, F] as [b, W, blocks]; bfloat16, or its bits."""
    count = n_blocks(scores.shape[1])
    return scores[:, : count * _WIDTH].unflatten(1, (_WIDTH, count))
