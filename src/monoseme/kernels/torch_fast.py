"""Fast kernels in plain torch: one dense product for the pre-activations, then only the selected entries are touched.

Letters: B rows, D model width, F latents, K entries per row, nnz entries in all.

No autograd graph is built on the dense product. Backward sums each latent's rows in (latent, row) order, so gradients have the
same bits for the same input. The weight gradient is dense `.grad` or, inside `emit_factors()`, handed over as factors.
Source: reasoning and measurements of Gao et al. 2024 (arXiv:2406.04093, appendix D, sparse kernels); the bias-side gradient of
the centre as one matrix-vector product is theirs.
"""

import warnings
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch.nn import functional

from monoseme.kernels._contract import Encoder, Kernels
from monoseme.kernels._products import Products, attach, decode_with
from monoseme.kernels._selection import batch_topk_chosen, topk_latents
from monoseme.kernels.reference import at_flat
from monoseme.tensors.factored import latent_sums
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_CHUNK_ELEMENTS = 2**22
"""Pre-activations made at once where rows are independent: 16 MB of float32, below the size at which glibc maps fresh pages."""
_CHUNK_ROWS = 256
"""Never fewer rows than this: the weights are read once per chunk."""
_ONEDNN_WORK = 2**24
"""Products with fewer multiplications than this are not worth the packing."""


class TorchKernels(Kernels):
    """Sparse decode and sparse gradients on any device torch has."""

    name: ClassVar[str] = "torch"

    def encode_topk(
        self, x: Float[Tensor, "B D"], encoder: Encoder, k: int, *, among: Int[Tensor, " m"] | None = None
    ) -> SparseCodes:
        """One product and an exact selection per chunk of rows."""
        n_latents = encoder.weight.shape[1]
        centred = _centred(x, encoder)
        latents: list[Tensor] = []
        values: list[Tensor] = []
        for pre in _pre_activations(centred, encoder, among):
            chosen = topk_latents(pre, k)
            values.append(pre.gather(1, chosen))
            latents.append(chosen if among is None else among[chosen])
        codes = SparseCodes.from_topk(torch.cat(latents), torch.cat(values), n_latents)
        return attach(_PRODUCTS, x, centred, encoder, codes)

    def encode_batch_topk(self, x: Float[Tensor, "B D"], encoder: Encoder, n: int) -> SparseCodes:
        """One product over all rows: the cut is theirs together."""
        centred = _centred(x, encoder)
        n_latents = encoder.weight.shape[1]
        chosen = batch_topk_chosen(list(_pre_activations(centred, encoder)), n)
        rows, latents = chosen.flat // n_latents, chosen.flat % n_latents
        codes = SparseCodes.from_rows(rows, latents, chosen.values, n_rows=x.shape[0], n_latents=n_latents)
        return attach(_PRODUCTS, x, centred, encoder, codes)

    def encode_threshold(
        self, x: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
    ) -> SparseCodes:
        """One product and one comparison per chunk of rows."""
        centred = _centred(x, encoder)
        parts = [self.threshold(pre, threshold.detach()) for pre in _pre_activations(centred, encoder)]
        return attach(_PRODUCTS, x, centred, encoder, SparseCodes.cat(parts))

    def decode(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """A weighted sum of the active rows of `weight`."""
        return decode_with(_PRODUCTS, codes, weight, bias)

    def topk(self, pre: Float[Tensor, "B F"], k: int) -> SparseCodes:
        """Block maxima, then the few blocks that matter."""
        latents = topk_latents(pre.detach(), k)
        return SparseCodes.from_topk(latents, pre.gather(1, latents), pre.shape[1])

    def batch_topk(self, pre: Float[Tensor, "B F"], n: int) -> SparseCodes:
        """Block maxima give a floor, the entries above it are cut exactly."""
        return at_flat(pre, batch_topk_chosen([pre.detach()], n).flat)

    def threshold(self, pre: Float[Tensor, "B F"], threshold: Float[Tensor, ""] | Float[Tensor, " F"]) -> SparseCodes:
        """A comparison."""
        return at_flat(pre, (pre.detach() > threshold).reshape(-1).nonzero().squeeze(1))


@torch.no_grad()
def _centred(x: Float[Tensor, "B D"], encoder: Encoder) -> Float[Tensor, "B D"]:
    return x.detach() if encoder.centre is None else x - encoder.centre


def _pre_activations(
    centred: Float[Tensor, "B D"], encoder: Encoder, among: Int[Tensor, " m"] | None = None
) -> Iterator[Float[Tensor, "b f"]]:
    """The dense product, some rows at a time; under autocast in the lower precision, but handed on in the weight's."""
    weight, bias = encoder.weight.detach(), encoder.bias.detach()
    if among is not None:
        weight, bias = weight.t().index_select(0, among).t(), bias.index_select(0, among)
    chunks = centred.split(max(_CHUNK_ROWS, _CHUNK_ELEMENTS // weight.shape[1]))
    if _suits_onednn(centred, weight):
        # On AMD, MKL's float32 product takes 1.5 times as long as oneDNN's; this is the public way to the latter.
        packed, shift = weight.t().to_mkldnn(), bias.to_mkldnn()
        for rows in chunks:
            yield functional.linear(rows.to_mkldnn(), packed, shift).to_dense()
    else:
        for rows in chunks:
            yield torch.addmm(bias, rows, weight).to(weight.dtype)


def _suits_onednn(centred: Tensor, weight: Tensor) -> bool:
    plain = centred.device.type == "cpu" and centred.dtype == weight.dtype == torch.float32
    large = centred.shape[0] * weight.numel() >= _ONEDNN_WORK
    return plain and large and torch.backends.mkldnn.is_available() and not torch.is_autocast_enabled("cpu")


class TorchProducts(Products):
    """Sums of rows by `embedding_bag`, products at entries by `sampled_addmm`."""

    def weighted_rows(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """Bags are rows."""
        if codes.nnz == 0:
            x_hat = weight.new_zeros(codes.n_rows, weight.shape[1])
        else:
            starts = codes.offsets[:-1].to(codes.indices.dtype)
            x_hat = functional.embedding_bag(codes.indices, weight, starts, mode="sum", per_sample_weights=codes.values)
        return x_hat if bias is None else x_hat.add_(bias)

    def dots(self, codes: SparseCodes, rows: Float[Tensor, "B D"], weight: Float[Tensor, "F D"]) -> Float[Tensor, " nnz"]:
        """A product sampled at the pattern of the codes."""
        if codes.nnz == 0:
            return codes.values.new_zeros(0)
        return torch.sparse.sampled_addmm(_pattern(codes), rows, weight.t(), beta=0.0).values()

    def latent_sums(self, codes: SparseCodes, rows: Float[Tensor, "B D"]) -> Float[Tensor, "F D"]:
        """Bags are latents."""
        return latent_sums(codes, rows)

    def latent_totals(self, codes: SparseCodes) -> Float[Tensor, " F"]:
        """Rows of one column of ones."""
        ones = codes.values.new_ones(codes.n_rows, 1)
        return latent_sums(codes, ones).squeeze(1)


def _pattern(codes: SparseCodes) -> Tensor:
    """Zeros where the codes have entries, as torch's own CSR."""
    zeros, shape = torch.zeros_like(codes.values), (codes.n_rows, codes.n_latents)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(codes.offsets, codes.indices.long(), zeros, shape, check_invariants=False)


_PRODUCTS = TorchProducts()
