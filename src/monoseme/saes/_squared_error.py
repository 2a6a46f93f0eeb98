"""The squared distance of rows from their reconstruction, with a gradient made in one pass.

Letters: B rows, D model width.
"""

from typing import Any, NamedTuple, cast

import torch
from torch.autograd.function import once_differentiable

from monoseme.tensors.shapes import Float, Tensor


class SquaredError(NamedTuple):
    """How far rows are from their reconstruction."""

    mean: Float[Tensor, ""]
    """mean_b ||x - x_hat||^2, differentiable in both; the sum of a row in the dtype of its entries."""
    residual: Float[Tensor, "B D"]
    """x - x_hat, without a graph."""
    squares: Float[Tensor, " B"]
    """||x - x_hat||^2 of each row, without a graph."""


def squared_norms(rows: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
    """||r||^2 of each row, in its dtype: what a row's error is chosen by."""
    return torch.linalg.vector_norm(rows, dim=1).square()


def squared_error(x: Float[Tensor, "B D"], x_hat: Float[Tensor, "B D"]) -> SquaredError:
    """Autograd would go over [B, D] four times for the gradient, and keep the squares."""
    return SquaredError(*cast(tuple[Tensor, Tensor, Tensor], _SquaredError.apply(x, x_hat)))


class _SquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`inputs` are x and x_hat."""
        residual = inputs[0] - inputs[1]
        ctx.save_for_backward(residual)
        squares = squared_norms(residual)
        ctx.mark_non_differentiable(residual, squares)
        return squares.mean(), residual, squares

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        (residual,) = ctx.saved_tensors
        needs_x, needs_x_hat = ctx.needs_input_grad
        slope = residual * (grads[0] * (-2.0 / residual.shape[0]))
        return -slope if needs_x else None, slope if needs_x_hat else None
