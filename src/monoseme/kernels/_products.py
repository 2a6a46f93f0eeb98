"""The sparse products behind encode and decode, and the autograd functions that put them together: one place for all kernel sets.

No autograd graph is built on the dense product of an encoder. The weight gradient is a dense `.grad` or, inside `emit_factors()`,
handed over as factors.

Letters: B rows, D model width, F latents, nnz entries in all.
Source: Gao et al. 2024 (arXiv:2406.04093, appendix D, sparse kernels); the gradient of the centre as one matrix-vector product is
theirs.
"""

from abc import ABC, abstractmethod
from typing import Any, cast

import torch
from torch.autograd.function import once_differentiable

from monoseme.kernels._contract import Encoder
from monoseme.tensors.factored import FactoredGrad, add_factor, emits_factors
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class Products(ABC):
    """Four products of sparse codes, none of which autograd looks into; sums in a fixed order, in the dtype of the arguments."""

    @abstractmethod
    def weighted_rows(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """codes @ weight + bias."""

    @abstractmethod
    def dots(self, codes: SparseCodes, rows: Float[Tensor, "B D"], weight: Float[Tensor, "F D"]) -> Float[Tensor, " nnz"]:
        """rows[r] . weight[f] for each entry (r, f) of the codes, whose values are not looked at."""

    @abstractmethod
    def latent_sums(self, codes: SparseCodes, rows: Float[Tensor, "B D"]) -> Float[Tensor, "F D"]:
        """codes^T @ rows; entries of one latent are added in row order."""

    @abstractmethod
    def latent_totals(self, codes: SparseCodes) -> Float[Tensor, " F"]:
        """Sum of the values of each latent, in row order."""


@torch.no_grad()
def centred_rows(x: Float[Tensor, "B D"], encoder: Encoder) -> Float[Tensor, "B D"]:
    """x without the encoder's centre, outside autograd: `attach` carries the gradient."""
    return x.detach() if encoder.centre is None else x - encoder.centre


def decode_with(
    products: Products, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None
) -> Float[Tensor, "B D"]:
    """codes @ weight + bias, differentiable in the values, the weight and the bias."""
    return cast(Tensor, _Decode.apply(products, codes, emits_factors(), codes.values, weight, bias))


def attach(
    products: Products, x: Float[Tensor, "B D"], centred: Float[Tensor, "B D"], encoder: Encoder, codes: SparseCodes
) -> SparseCodes:
    """`codes`, whose values are pre-activations computed outside autograd, with values that carry the gradient back."""
    wanted = [t is not None and t.requires_grad for t in (x, *encoder)]
    if not (torch.is_grad_enabled() and any(wanted)):
        return codes
    values = cast(Tensor, _EncodeAt.apply(products, codes, centred, emits_factors(), x, *encoder))
    return codes.with_values(values)


class _EncodeAt(torch.autograd.Function):
    """Pre-activations at the entries of `codes`, whose values were computed already."""

    @staticmethod
    def forward(ctx: Any, products: Products, codes: SparseCodes, centred: Tensor, factored: bool,
                *inputs: Tensor | None) -> Tensor:  # fmt: skip
        """`inputs` are x, weight, bias and centre, passed so that autograd knows of them."""
        weight = cast(Tensor, inputs[1])
        ctx.save_for_backward(centred, weight)
        ctx.products, ctx.codes = products, codes
        ctx.parameter = weight if factored and weight.is_leaf else None
        return codes.values.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        centred, weight = ctx.saved_tensors
        products: Products = ctx.products
        needs_x, needs_weight, needs_bias, needs_centre = ctx.needs_input_grad[4:]
        codes: SparseCodes = ctx.codes.with_values(grads[0])
        grad_x = products.weighted_rows(codes, weight.detach().t()) if needs_x else None
        grad_bias = products.latent_totals(codes) if needs_bias or needs_centre else None
        grad_centre = -(weight.detach() @ grad_bias) if needs_centre and grad_bias is not None else None
        factor = FactoredGrad(codes, centred, transposed=True)
        grad_weight = _hand_over(products, ctx.parameter, factor) if needs_weight else None
        return None, None, None, None, grad_x, grad_weight, grad_bias if needs_bias else None, grad_centre


class _Decode(torch.autograd.Function):
    """A weighted sum of the active rows of the weight."""

    @staticmethod
    def forward(ctx: Any, products: Products, codes: SparseCodes, factored: bool, *inputs: Tensor | None) -> Tensor:
        """`inputs` are the values of the codes, weight and bias, passed so that autograd knows of them."""
        values, weight, bias = cast(Tensor, inputs[0]), cast(Tensor, inputs[1]), inputs[2]
        ctx.save_for_backward(values, weight)
        ctx.products, ctx.codes = products, codes.detach()
        ctx.parameter = weight if factored and weight.is_leaf else None
        return products.weighted_rows(ctx.codes, weight.detach(), None if bias is None else bias.detach())

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        _, weight = ctx.saved_tensors
        products: Products = ctx.products
        needs_values, needs_weight, needs_bias = ctx.needs_input_grad[3:]
        grad = grads[0].contiguous()
        grad_values = products.dots(ctx.codes, grad, weight.detach()) if needs_values else None
        grad_weight = _hand_over(products, ctx.parameter, FactoredGrad(ctx.codes, grad)) if needs_weight else None
        return None, None, None, grad_values, grad_weight, _column_sums(grad) if needs_bias else None


def _hand_over(products: Products, parameter: Tensor | None, factor: FactoredGrad) -> Tensor | None:
    """The dense gradient, or None after leaving the factor on the parameter."""
    if parameter is None:
        grad = products.latent_sums(factor.codes, factor.rows)
        return grad.t() if factor.transposed else grad
    add_factor(parameter, factor)
    return None


def _column_sums(rows: Float[Tensor, "B D"]) -> Float[Tensor, " D"]:
    """As a product: torch's sum over the first axis takes five times as long on a CPU."""
    return rows.new_ones(rows.shape[0]) @ rows
