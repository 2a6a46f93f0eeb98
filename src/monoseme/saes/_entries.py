"""A number of each latent (a threshold, a bias, a norm) at every entry of a sparse code.

Plain indexing would do, but its gradient is summed by atomic additions on a GPU; here it is summed in a fixed order, so that it
has the same bits for the same input.

Letters: B rows, F latents, nnz entries.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from monoseme.tensors.factored import latent_sums
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes


def at_entries(per_latent: Float[Tensor, " F"], codes: SparseCodes) -> Float[Tensor, " nnz"]:
    """`per_latent[latent]` for each entry of `codes`; differentiable in `per_latent`."""
    return _AtEntries.apply(per_latent, codes.detach())


class _AtEntries(torch.autograd.Function):
    """Indexing by latent with a deterministic sum as its backward."""

    @staticmethod
    def forward(ctx: Any, per_latent: Tensor, codes: SparseCodes) -> Tensor:
        ctx.codes = codes
        return per_latent.index_select(0, codes.indices)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, None]:
        codes: SparseCodes = ctx.codes
        if codes.device.type == "cpu":  # adds one by one, in the order of the entries: no need to sort them by latent
            return grads[0].new_zeros(codes.n_latents).index_add_(0, codes.indices, grads[0]), None
        ones = grads[0].new_ones(codes.n_rows, 1)
        return latent_sums(codes.with_values(grads[0]), ones).squeeze(1), None
