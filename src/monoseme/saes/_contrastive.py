"""Temporal terms of T-SAE: how alike the high-level codes of two tokens of one context are.

    contrastive       S = f f'^T / temperature [B, B];   1/2 [CE(S, identity) + CE(S^T, identity)]   (symmetric InfoNCE)
    non-contrastive   mean_b ||f_b - f'_b||_1 cos(x_b, x'_b)

f are the codes of the current tokens, f' those of the earlier ones, row by row, both of the latents of one group alone. The
logits are a sparse product of the first with the second as a matrix [F, B]: at 20 of 1,638 latents on, an eightieth of the
multiplications of a dense one, forward and backward. Of the [B, B] matrices, the logits alone are kept for backward.

Source: the code of T-SAE (AI4LIFE-GROUP/temporal-saes), `TemporalMatryoshkaBatchTopKTrainer.loss`: plain dot products, no
temperature. Cosines and the temperature are ours.
Letters: B rows, F latents, D model width.
"""

from typing import Any, Literal, cast

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

    log B for codes that say nothing, 0 at best. With cosine, a row without an active latent is at 0 from everything.
    """
    if similarity == "cosine":
        current, earlier = (_unit_rows(codes, kernels.mesh.latents) for codes in (current, earlier))
    logits = kernels.decode(current.with_values(current.values / temperature), _by_latent(earlier))
    return cast(Tensor, _PairedCrossEntropy.apply(logits))


def _by_latent(codes: SparseCodes) -> Float[Tensor, "F B"]:
    """The transposed dense matrix."""
    dense = codes.values.new_zeros(codes.n_latents, codes.n_rows)
    return dense.index_put((codes.indices.long(), codes.rows()), codes.values)


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
        given = torch.empty_like(logits)
        blocks = (t.split(_BLOCK) for t in (logits, of_rows, given))
        for part, of_row, out in zip(*blocks, strict=True):
            torch.sub(part, of_row.unsqueeze(1), out=out)
            out.exp_().add_((part - of_columns).exp_())
        n_rows = len(logits)
        given.mul_(grads[0] / (2 * n_rows))
        given.diagonal().sub_(grads[0] / n_rows)
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
