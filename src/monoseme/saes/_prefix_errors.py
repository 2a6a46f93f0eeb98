"""Errors of the prefixes of a grouped reconstruction, as running sums: r_i = x - b_dec - sum_{j <= i} added_j.

Letters: B rows, D model width, G groups.

By plain autograd, running sums over [G, B, D] are made, kept and reversed several times over; here each error is made once, and
backward turns the errors into gradients where they lie:

    d / d added_j = -sum_{i >= j} (2 s_i r_i + [i = G] u),   s_i the gradient of sum_b ||r_i||^2, u that of the last error
"""

from typing import Any, NamedTuple, cast

import torch
from torch.autograd.function import once_differentiable

from monoseme.tensors.shapes import Float, Tensor


class PrefixErrors(NamedTuple):
    """What each prefix leaves over."""

    squares: Float[Tensor, " G"]
    """sum_b ||r_i||^2, in the dtype of the rows."""
    last: Float[Tensor, "B D"]
    """r_G: the whole dictionary's."""


def prefix_errors(rows: Float[Tensor, "B D"], added: Float[Tensor, "G B D"], b_dec: Float[Tensor, " D"]) -> PrefixErrors:
    """Errors of each prefix; differentiable in all three, once."""
    squares, last = cast("tuple[Tensor, Tensor]", _PrefixErrors.apply(rows, added, b_dec))
    return PrefixErrors(squares, last)


class _PrefixErrors(torch.autograd.Function):
    """Running errors, kept for backward in one buffer."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, added: Tensor, b_dec: Tensor) -> tuple[Tensor, Tensor]:
        errors = torch.empty_like(added)
        before = rows - b_dec
        for error, group in zip(errors, added, strict=True):
            before = torch.sub(before, group, out=error)
        ctx.save_for_backward(errors)
        squares = [torch.linalg.vector_norm(error).square() for error in errors]
        return torch.stack(squares), errors[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        (errors,) = ctx.saved_tensors
        slopes, of_last = -2 * grads[0], grads[1]
        given = torch.empty_like(errors)
        after = -of_last
        for i in reversed(range(len(errors))):
            after = torch.addcmul(after, errors[i], slopes[i], out=given[i])
        grad_rows = -given[0] if ctx.needs_input_grad[0] else None
        return grad_rows, given, given[0].sum(0) if ctx.needs_input_grad[2] else None
