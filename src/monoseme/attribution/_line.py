"""The activations at one site on their way from what the model has to something else, and the gradients met on the way.

Letters: r rows of a piece, s columns, m runs, D model width.
"""

from dataclasses import dataclass

import torch

from monoseme.attribution._suffixes import Suffix
from monoseme.models import Edit, Site, replacement
from monoseme.tensors.shapes import Float, Int, Tensor

_RESIDUAL = {"resid_pre": 0, "resid_post": 1}
"""Kinds of sites that hold the whole state of the forward: no block before is run. 1 where their own block is before."""


@dataclass(frozen=True, eq=False)
class Line:
    """x + share * moves, at one site of one piece, for shares from 0 to 1."""

    piece: Suffix
    site: Site
    moves: Float[Tensor, "r s D"]

    @staticmethod
    def start(site: Site) -> Site:
        """Where a forward for this site begins: there, or at the residual stream that its block reads."""
        return site if site.kind in _RESIDUAL else Site("resid_pre", site.layer)

    def mean_gradient(self, shares: tuple[float, ...]) -> Float[Tensor, "r s D"]:
        """dm/dx, averaged over shares; sums are in float32 at least."""
        least = torch.promote_types(self.moves.dtype, torch.float32)
        total = torch.zeros_like(self.moves, dtype=least)
        row, share = self._runs(shares)
        for part in torch.arange(len(row), device=row.device).split(self.piece.runs_at_once):
            x = self._at(row[part], share[part]).requires_grad_()
            with torch.enable_grad():
                metric = self._metric(row[part], x)
            (gradient,) = torch.autograd.grad(metric.sum(), [x])
            total.index_add_(0, row[part], gradient.to(least))
        return total / len(shares)

    @torch.no_grad()
    def metric_at(self, share: float) -> Float[Tensor, " r"]:
        """m, in the type of the metric."""
        rows, shares = self._runs((share,))
        parts = torch.arange(len(rows), device=rows.device).split(self.piece.runs_at_once)
        return torch.cat([self._metric(rows[part], self._at(rows[part], shares[part])) for part in parts])

    def _runs(self, shares: tuple[float, ...]) -> tuple[Int[Tensor, " m"], Float[Tensor, " m"]]:
        """Row and share of each run, the shares of one row side by side."""
        each = torch.arange(len(self.moves), device=self.moves.device)
        return each.repeat_interleave(len(shares)), self.moves.new_tensor(shares).repeat(len(each))

    def _at(self, row: Int[Tensor, " m"], share: Float[Tensor, " m"]) -> Float[Tensor, "m s D"]:
        return self.piece.x[self.site][row] + share[:, None, None] * self.moves[row]

    def _metric(self, row: Int[Tensor, " m"], x: Float[Tensor, "m s D"]) -> Float[Tensor, " m"]:
        start = self.start(self.site)
        edits: list[Edit] = [replacement(self.site, x)]
        if start != self.site:
            edits.insert(0, replacement(start, self.piece.x[start][row]))
        # What edits do at the start and at the site is in x already.
        edits += [edit for edit in self.piece.edits if edit.site.depth > start.depth and edit.site != self.site]
        return self.piece.metric(row, edits, skip_blocks=start.layer + _RESIDUAL[start.kind])
