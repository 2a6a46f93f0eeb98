"""The four sparse products in plain torch: sums of rows by `embedding_bag`, products at entries by `sampled_addmm`.

Letters: B rows, D model width, F latents, nnz entries in all.
"""

import warnings

import torch
from torch.nn import functional

from monoseme.kernels._density import DenseProducts, Moves, pick_with_torch, scatter_with_torch, suits_dense
from monoseme.kernels._products import Products
from monoseme.tensors.factored import latent_sums
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_DENSE_SHARE = 0.1
"""From this share of entries on dense products are faster."""


def is_dense(codes: SparseCodes) -> bool:
    """Whether so many entries are stored that these products go by dense matrices."""
    return suits_dense(codes, share=_DENSE_SHARE)


class TorchProducts(Products):
    """On any device and in any type; dense where a large part of the latents is active."""

    def __init__(self) -> None:
        self._dense = DenseProducts(Moves(scatter_with_torch, pick_with_torch), self)

    def weighted_rows(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """Bags are rows."""
        if is_dense(codes):
            return self._dense.weighted_rows(codes, weight, bias)
        if codes.nnz == 0:
            x_hat = weight.new_zeros(codes.n_rows, weight.shape[1])
        else:
            starts = codes.offsets[:-1].to(codes.indices.dtype)
            x_hat = functional.embedding_bag(codes.indices, weight, starts, mode="sum", per_sample_weights=codes.values)
        return x_hat if bias is None else x_hat.add_(bias)

    def dots(self, codes: SparseCodes, rows: Float[Tensor, "B D"], weight: Float[Tensor, "F D"]) -> Float[Tensor, " nnz"]:
        """A product sampled at the pattern of the codes."""
        if is_dense(codes):
            return self._dense.dots(codes, rows, weight)
        if codes.nnz == 0:
            return codes.values.new_zeros(0)
        return torch.sparse.sampled_addmm(_pattern(codes), rows, weight.t(), beta=0.0).values()

    def latent_sums(self, codes: SparseCodes, rows: Float[Tensor, "B D"]) -> Float[Tensor, "F D"]:
        """Bags are latents."""
        if is_dense(codes):
            return self._dense.latent_sums(codes, rows)
        return latent_sums(codes, rows)

    def latent_totals(self, codes: SparseCodes) -> Float[Tensor, " F"]:
        """On a CPU one thread adds each entry at its latent; elsewhere, where that has no order, rows of one column of ones."""
        if codes.device.type == "cpu":
            return codes.values.new_zeros(codes.n_latents).index_add_(0, codes.indices, codes.values.detach())
        return latent_sums(codes, codes.values.new_ones(codes.n_rows, 1)).squeeze(1)


def _pattern(codes: SparseCodes) -> Tensor:
    """Zeros where the codes have entries, as torch's own CSR with int32 indices."""
    zeros, shape = torch.zeros_like(codes.values), (codes.n_rows, codes.n_latents)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(codes.offsets.int(), codes.indices, zeros, shape, check_invariants=False)
