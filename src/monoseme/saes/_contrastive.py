"""Temporal terms of T-SAE: how alike the high-level codes of two tokens of one context are.

    contrastive       S = f f'^T / temperature [B, B];   1/2 [CE(S, identity) + CE(S^T, identity)]   (symmetric InfoNCE)
    non-contrastive   mean_b ||f_b - f'_b||_1 cos(x_b, x'_b)

f are the codes of the current tokens, f' those of the earlier ones, row by row, both of the latents of one group alone. The
logits are a sparse product of the first with the second as a matrix [F, B]: at 20 of 1,638 latents on, an eightieth of the
multiplications of a dense one, forward and backward. Of the [B, B] matrices, the logits alone are kept for backward.

Where several processes divide the rows, each tells its own rows from those of all, and its own earlier rows from all current
ones: it has b rows of S and b columns. For that the entries of both codes go round, 12 bytes each, and the log-sums of the rows
and columns; nothing does in the backward.

Source: the code of T-SAE (AI4LIFE-GROUP/temporal-saes), `TemporalMatryoshkaBatchTopKTrainer.loss`: plain dot products, no
temperature. Cosines and the temperature are ours.
Letters: B rows, F latents, D model width.
"""

from typing import Any, Literal, NamedTuple, cast

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from monoseme.kernels import Kernels
from monoseme.tensors.joint import read_by, summed_over
from monoseme.tensors.processes import ALONE, Group
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes

Similarity = Literal["dot", "cosine"]
_EPS = 1e-8
_BLOCK = 256
"""Rows of logits whose gradient is made at once."""


def info_nce(
    current: SparseCodes, earlier: SparseCodes, kernels: Kernels, *, similarity: Similarity = "dot", temperature: float = 1.0
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: each current token is to be told from the others by its earlier one, and the other way round.

    log B for codes that say nothing, 0 at best. With cosine, a row without an active latent is at 0 from everything. Where
    processes divide the rows, B is all of them: the mean over the rows that are here.
    """
    mesh = kernels.mesh
    if similarity == "cosine":
        current, earlier = (_unit_rows(codes, mesh.latents) for codes in (current, earlier))
    scaled = current.with_values(current.values / temperature)
    if mesh.rows.size == 1:
        return cast(Tensor, _PairedCrossEntropy.apply(kernels.decode(scaled, _by_latent(earlier))))
    place = _place(current.n_rows, mesh.rows, current.device)
    from_rows = kernels.decode(scaled, _all_by_latent(earlier, mesh.rows, place))
    from_columns = kernels.decode(earlier, _all_by_latent(scaled, mesh.rows, place))
    return cast(Tensor, _DividedCrossEntropy.apply(from_rows, from_columns, mesh.rows, place.start))


def _by_latent(codes: SparseCodes) -> Float[Tensor, "F B"]:
    """The transposed dense matrix."""
    dense = codes.values.new_zeros(codes.n_latents, codes.n_rows)
    return dense.index_put((codes.indices.long(), codes.rows()), codes.values)


class _Place(NamedTuple):
    """Which rows of the whole batch are here."""

    start: int
    total: int


def _place(n_here: int, rows: Group, device: torch.device) -> _Place:
    each = torch.cat(rows.gather(torch.tensor([n_here], device=device))).tolist()
    return _Place(sum(each[: rows.rank]), sum(each))


def _all_by_latent(codes: SparseCodes, rows: Group, place: _Place) -> Float[Tensor, "F B"]:
    """The transposed dense matrix of the rows of all processes, in their order; without gradient, which each takes of its own."""
    entries = torch.stack([codes.indices, (codes.rows() + place.start).to(torch.int32)], dim=1)
    at = torch.cat(rows.gather_rows(entries)).long()
    values = torch.cat(rows.gather_rows(codes.values.detach()))
    return values.new_zeros(codes.n_latents, place.total).index_put_((at[:, 0], at[:, 1]), values)


class _PairedCrossEntropy(torch.autograd.Function):
    """1/2 [CE(S, identity) + CE(S^T, identity)]; its gradient is (softmax of rows + softmax of columns) / 2 B - identity / B."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        of_rows, of_columns = logits.logsumexp(1), logits.logsumexp(0)
        ctx.save_for_backward(logits, of_rows, of_columns)
        return (of_rows + of_columns).mean() / 2 - logits.diagonal().mean()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> Tensor:
        logits, of_rows, of_columns = ctx.saved_tensors
        return _gradient(logits, of_rows, of_columns, grads[0])


class _DividedCrossEntropy(torch.autograd.Function):
    """The same, of b rows of S and b of S^T. Every process weighs its mean by b / B: what it gives back is divided by b."""

    @staticmethod
    def forward(ctx: Any, from_rows: Tensor, from_columns: Tensor, group: Group, first: int) -> Tensor:
        here = torch.stack([from_rows.logsumexp(1), from_columns.logsumexp(1)], dim=1)
        ctx.first = first
        ctx.save_for_backward(from_rows, from_columns, here, torch.cat(group.gather_rows(here)))
        return here.mean() - from_rows.diagonal(first).mean()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, Tensor, None, None]:
        from_rows, from_columns, here, everywhere = ctx.saved_tensors
        of_rows = _gradient(from_rows, here[:, 0], everywhere[:, 1], grads[0], first=ctx.first)
        return of_rows, _gradient(from_columns, here[:, 1], everywhere[:, 0], grads[0], first=ctx.first), None, None


def _gradient(
    logits: Float[Tensor, "b B"],
    of_rows: Float[Tensor, " b"],
    of_columns: Float[Tensor, " B"],
    weight: Float[Tensor, ""],
    *,
    first: int = 0,
) -> Float[Tensor, "b B"]:
    """Of `weight` times the mean over rows of (log-sum of row i + log-sum of column i) / 2 - S_ii; row 0 is row `first` of S."""
    given = torch.empty_like(logits)
    blocks = (t.split(_BLOCK) for t in (logits, of_rows, given))
    for part, of_row, out in zip(*blocks, strict=True):
        torch.sub(part, of_row.unsqueeze(1), out=out)
        out.exp_().add_((part - of_columns).exp_())
    given.mul_(weight / (2 * len(logits)))
    given.diagonal(first).sub_(weight / len(logits))
    return given


def weighted_change(
    current: SparseCodes,
    earlier: SparseCodes,
    x: Float[Tensor, "B D"],
    x_earlier: Float[Tensor, "B D"],
    *,
    latents: Group = ALONE,
) -> Float[Tensor, ""]:
    """mean_b ||f_b - f'_b||_1 cos(x_b, x'_b): codes of similar inputs should not differ."""
    places = torch.cat([codes.rows() * codes.n_latents + codes.indices for codes in (current, earlier)])
    places, entry = places.unique(return_inverse=True)
    change = current.values.new_zeros(places.shape[0]).index_add(0, entry, torch.cat([current.values, -earlier.values]))
    rows = places // current.n_latents
    change_of_row = current.values.new_zeros(current.n_rows).index_add(0, rows, change.abs())
    return (summed_over(latents, change_of_row) * functional.cosine_similarity(x, x_earlier, dim=1)).mean()


def _unit_rows(codes: SparseCodes, latents: Group) -> SparseCodes:
    rows = codes.rows()
    squares = codes.values.new_zeros(codes.n_rows).index_add(0, rows, codes.values.square())
    squares = read_by(latents, summed_over(latents, squares))  # every process divides its own entries by the norm
    return codes.with_values(codes.values / (squares + _EPS**2).sqrt().index_select(0, rows))
