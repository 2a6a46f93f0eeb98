"""Fast kernels in plain torch: one dense product for the pre-activations, then only the selected entries are touched.

Letters: B rows, D model width, F latents, K entries per row, nnz entries in all.

No autograd graph is built on the dense product. Backward sums each latent's rows in (latent, row) order, so gradients have the
same bits for the same input. The weight gradient is dense `.grad` or, inside `emit_factors()`, handed over as factors.
Source: reasoning and measurements of Gao et al. 2024 (arXiv:2406.04093, appendix D, sparse kernels); the bias-side gradient of
the centre as one matrix-vector product is theirs.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, cast

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from monoseme.kernels._contract import Encoder, Kernels
from monoseme.kernels._selection import batch_topk_chosen, topk_latents
from monoseme.kernels.reference import at_flat
from monoseme.tensors.factored import FactoredGrad, add_factor, emits_factors, latent_sums
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
        return _attach(x, centred, encoder, codes)

    def encode_batch_topk(self, x: Float[Tensor, "B D"], encoder: Encoder, n: int) -> SparseCodes:
        """One product over all rows: the cut is theirs together."""
        centred = _centred(x, encoder)
        n_latents = encoder.weight.shape[1]
        chosen = batch_topk_chosen(list(_pre_activations(centred, encoder)), n)
        rows, latents = chosen.flat // n_latents, chosen.flat % n_latents
        codes = SparseCodes.from_rows(rows, latents, chosen.values, n_rows=x.shape[0], n_latents=n_latents)
        return _attach(x, centred, encoder, codes)

    def encode_threshold(
        self, x: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
    ) -> SparseCodes:
        """One product and one comparison per chunk of rows."""
        centred = _centred(x, encoder)
        parts = [self.threshold(pre, threshold.detach()) for pre in _pre_activations(centred, encoder)]
        return _attach(x, centred, encoder, SparseCodes.cat(parts))

    def decode(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """A weighted sum of the active rows of `weight`."""
        if codes.nnz == 0:
            x_hat = codes.values.new_zeros(codes.n_rows, weight.shape[1]) + 0.0 * codes.values.sum()
        else:
            x_hat = _weighted_rows(codes, weight.detach())
        if weight.requires_grad and torch.is_grad_enabled():
            x_hat = _WithWeightGradient.apply(x_hat, weight, codes.detach(), emits_factors())
        return x_hat if bias is None else x_hat + bias

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


def _weighted_rows(codes: SparseCodes, weight: Float[Tensor, "F D"]) -> Float[Tensor, "B D"]:
    """codes @ weight; differentiable in the values only."""
    starts = codes.offsets[:-1].to(codes.indices.dtype)
    return functional.embedding_bag(codes.indices, weight, starts, mode="sum", per_sample_weights=codes.values)


def _attach(x: Tensor, centred: Tensor, encoder: Encoder, codes: SparseCodes) -> SparseCodes:
    """`codes` with values that carry the gradient back to x and the encoder."""
    wanted = [t is not None and t.requires_grad for t in (x, *encoder)]
    if not (torch.is_grad_enabled() and any(wanted)):
        return codes
    values = _EncodeAt.apply(codes, centred, emits_factors(), x, *encoder)
    return codes.with_values(values)


class _EncodeAt(torch.autograd.Function):
    """Pre-activations at the entries of `codes`, whose values were computed already."""

    @staticmethod
    def forward(ctx: Any, codes: SparseCodes, centred: Tensor, factored: bool, *inputs: Tensor | None) -> Tensor:
        """`inputs` are x, weight, bias and centre, passed so that autograd knows of them."""
        weight = cast(Tensor, inputs[1])
        ctx.save_for_backward(centred, weight)
        ctx.codes = codes
        ctx.parameter = weight if factored and weight.is_leaf else None
        return codes.values.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        centred, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, needs_centre = ctx.needs_input_grad[3:]
        codes: SparseCodes = ctx.codes.with_values(grads[0])
        grad_x = _rows_or_zero(codes, weight.detach().t()) if needs_x else None
        grad_bias = _latent_totals(codes) if needs_bias or needs_centre else None
        grad_centre = -(weight.detach() @ grad_bias) if needs_centre and grad_bias is not None else None
        grad_weight = None
        if needs_weight:
            factor = FactoredGrad(codes, centred, transposed=True)
            grad_weight = _hand_over(ctx.parameter, factor)
        return None, None, None, grad_x, grad_weight, grad_bias, grad_centre


class _WithWeightGradient(torch.autograd.Function):
    """The identity on x_hat, which also sends codes^T @ grad to the decoder's weight."""

    @staticmethod
    def forward(ctx: Any, x_hat: Tensor, weight: Tensor, codes: SparseCodes, factored: bool) -> Tensor:
        ctx.codes = codes
        ctx.parameter = weight if factored and weight.is_leaf else None
        return x_hat.view_as(x_hat)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        return grads[0], _hand_over(ctx.parameter, FactoredGrad(ctx.codes, grads[0])), None, None


def _hand_over(parameter: Tensor | None, factor: FactoredGrad) -> Tensor | None:
    """The dense gradient, or None after leaving the factor on the parameter."""
    if parameter is None:
        return factor.dense()
    add_factor(parameter, factor)
    return None


def _rows_or_zero(codes: SparseCodes, weight: Tensor) -> Tensor:
    return _weighted_rows(codes, weight) if codes.nnz else weight.new_zeros(codes.n_rows, weight.shape[1])


def _latent_totals(codes: SparseCodes) -> Float[Tensor, " F"]:
    """Sum of the values of each latent, in row order."""
    ones = codes.values.new_ones(codes.n_rows, 1)
    return latent_sums(codes, ones).squeeze(1)
