"""The most similar other latent of each latent: by the cosine of their directions, exactly and in bounded memory.

A product in float32 screens: within the rounding of such a product of its largest entry lies the true largest one. What is left
(usually one) is decided by a float64 product that depends on the two rows alone, so that neither the size of the blocks nor the
number of threads moves a result, and equal cosines go to the lowest number.

Letters: A, B directions, D width.
"""

from typing import NamedTuple

import numpy as np
import torch

from monoseme.tensors.shapes import Float, Int, Tensor

BLOCK_ENTRIES = 1 << 20
"""Cosines held at a time, 4 MB: what fits into a cache is twice as fast as what does not."""
_GATHERED = 1 << 22
"""Numbers of candidates gathered at a time, 32 MB."""
_ROUNDING = 2.0**-24
"""Of float32, relative."""


class Nearest(NamedTuple):
    """The most similar partner of each of A latents."""

    similarity: np.ndarray
    """[A] float64; NaN where there is no partner."""
    partner: np.ndarray
    """[A] int64, its number; of no meaning where there is none."""

    @property
    def exists(self) -> np.ndarray:
        """[A] bool: where there is a partner."""
        return np.isfinite(self.similarity)


def largest_cosines(
    rows: Float[Tensor, "A D"], others: Float[Tensor, "B D"] | None = None, *, block_entries: int = BLOCK_ENTRIES
) -> Nearest:
    """The largest cosine of each row with a row of `others`, or with another row of its own, and which; ties: the lowest number.

    Signed: opposite directions are far from each other. A row of zeros has no direction: it has no partner and is none.
    """
    unit = _unit(rows)
    partners = unit if others is None else _unit(others)
    is_there = partners.abs().sum(1) > 0
    n_at_once = max(1, block_entries // max(1, len(partners)))
    similarity, index = torch.full((len(unit),), torch.nan, dtype=torch.float64), torch.zeros(len(unit), dtype=torch.int64)
    screened = partners.float().T.contiguous()
    for start in range(0, len(unit), n_at_once):
        block = unit[start : start + n_at_once]
        screen = block.float() @ screened
        screen[:, ~is_there] = -torch.inf
        if others is None:
            own = torch.arange(len(block))
            screen[own, start + own] = -torch.inf
        found = _decide(block, partners, screen)
        similarity[start : start + n_at_once], index[start : start + n_at_once] = found
    return Nearest(similarity.numpy(), index.numpy())


def _unit(rows: Float[Tensor, "A D"]) -> Float[Tensor, "A D"]:
    """Of length 1 in float64 on the CPU; rows of zeros, or that are not finite, are zeros."""
    given = rows.detach().cpu().double()
    given = torch.where(given.isfinite().all(1, keepdim=True), given, 0.0)
    norms = given.norm(dim=1, keepdim=True)
    return torch.where(norms > 0, given / norms.where(norms > 0, 1.0), 0.0)


def _decide(
    block: Float[Tensor, "n D"], partners: Float[Tensor, "B D"], screen: Float[Tensor, "n B"]
) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"]]:
    """Cosine and number of the partner of each row of a block, NaN and 0 for none."""
    most = screen.amax(1, keepdim=True) if screen.shape[1] else screen.new_full((len(block), 1), -torch.inf)
    # Each entry is off by at most (D + 2) roundings: D of the sum of products, one of each row's conversion.
    slack = 2 * (block.shape[1] + 2) * _ROUNDING
    has_any = most.isfinite().squeeze(1) & (block.abs().sum(1) > 0)
    least = torch.where(has_any.unsqueeze(1), most - slack, torch.inf)
    row, column = (screen >= least).nonzero(as_tuple=True)
    exact = _products(block, partners, row, column)
    best = torch.full((len(block),), -torch.inf, dtype=torch.float64).scatter_reduce_(0, row, exact, "amax")
    is_best = exact == best[row]
    index = torch.full((len(block),), len(partners), dtype=torch.int64)
    index.scatter_reduce_(0, row[is_best], column[is_best], "amin")
    return best.where(has_any, torch.nan), index.where(has_any, 0)


def _products(
    block: Float[Tensor, "n D"], partners: Float[Tensor, "B D"], row: Int[Tensor, " m"], column: Int[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Inner products of pairs of rows; each sum is over one pair, whatever stands beside it."""
    step = max(1, _GATHERED // max(1, block.shape[1]))
    pieces = [
        np.add.reduce((block[r] * partners[c]).numpy(), axis=1) for r, c in zip(row.split(step), column.split(step), strict=True)
    ]
    return torch.from_numpy(np.concatenate(pieces)) if pieces else torch.zeros(0, dtype=torch.float64)
