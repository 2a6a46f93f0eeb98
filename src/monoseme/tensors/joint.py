"""Sums and means over processes that autograd knows. What goes back depends on what the axis divides.

**Latents.** Every process computes the same loss from its part of a sum. The gradient of the sum is the gradient of each part, so
`summed_over` hands it on as it is. What all parts read (a centre, the input) gets a part of its gradient from each: `read_by`
adds them.

**Rows.** Every process computes the mean of a loss over its own rows; training weighs its gradient by its share of the rows and
adds. A number of the whole batch that enters a loss other than linearly is made by `mean_over`, whose gradient goes to this
process's mean as it is: the weighing does the rest.

In a group of one all three give back what they are given.
"""

from typing import Any, cast

import torch
from torch.autograd.function import once_differentiable

from monoseme.tensors.processes import Group
from monoseme.tensors.shapes import Float, Tensor


def summed_over(group: Group, part: Tensor) -> Tensor:
    """The sum of every process's part; differentiable."""
    return part if group.size == 1 else cast(Tensor, _SummedOver.apply(group, part))


def summed_rows(group: Group, part: Float[Tensor, "B D"], bias: Float[Tensor, " D"] | None) -> Float[Tensor, "B D"]:
    """`summed_over` of matrices, and a bias that all processes hold, added once; differentiable in both."""
    return cast(Tensor, _SummedOver.apply(group, part)) if bias is None else cast(Tensor, _SummedRows.apply(group, part, bias))


def read_by(group: Group, tensor: Tensor) -> Tensor:
    """The tensor, whose gradient is the sum of what every process gives back."""
    return _ReadBy.apply(group, tensor) if group.size > 1 and tensor.requires_grad else tensor


def mean_over(group: Group, mean: Tensor, *, n_rows: int) -> Tensor:
    """The mean over all processes' rows, from the mean over the `n_rows` of this one; sums in float64, result in its dtype."""
    return mean if group.size == 1 else cast(Tensor, _MeanOver.apply(group, mean, n_rows))


class _SummedOver(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, group: Group, part: Tensor) -> Tensor:
        return group.sum(part)

    @staticmethod
    @once_differentiable
    def backward(_ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None, grads[0]


class _SummedRows(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, group: Group, part: Tensor, bias: Tensor) -> Tensor:
        return group.sum(part).add_(bias)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[None, Tensor, Tensor | None]:
        grad = grads[0]
        # as a product: torch's sum over the first axis takes five times as long on a CPU
        return None, grad, grad.new_ones(grad.shape[0]) @ grad if ctx.needs_input_grad[2] else None


class _ReadBy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, group: Group, tensor: Tensor) -> Tensor:
        ctx.group = group
        return tensor.view_as(tensor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        group: Group = ctx.group
        return None, group.sum(grads[0])


class _MeanOver(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, group: Group, mean: Tensor, n_rows: int) -> Tensor:
        wide = torch.cat([mean.double().reshape(-1), mean.new_ones(1, dtype=torch.float64)]) * n_rows
        total = group.sum(wide)
        return (total[:-1] / total[-1]).reshape(mean.shape).to(mean.dtype)

    @staticmethod
    @once_differentiable
    def backward(_ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None, grads[0], None
