"""Straight-through gradients for a threshold: the step 1[z > theta] and the jump z 1[z > theta].

Both are constant in theta almost everywhere, so a threshold learns nothing from them. The expected loss does depend on it, by
the density of z at theta, and a kernel of width w estimates that density from the values near theta:

    d step / d theta = -(1 / w) K((z - theta) / w)        d step / d z = 0               + (1 / w) K((z - theta) / w)
    d jump / d theta = -(theta / w) K((z - theta) / w)    d jump / d z = 1[z > theta]    + (theta / w) K((z - theta) / w)

The last column is there with `moves_z`: raising z is lowering theta, so a smoothed loss has that slope too.

Source: Rajamanoharan et al. 2024, arXiv:2407.14435, equations 11 and 12, without the last column; any K that integrates to 1 will
do (their section 4).
Letters: nnz entries.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from monoseme.tensors.shapes import Float, Tensor

KernelName = Literal["rectangle", "triangle", "epanechnikov", "gaussian", "logistic"]


class Kernel(NamedTuple):
    """A density to smooth with."""

    density: Callable[[Tensor], Tensor]
    """K(u); even, not negative, integrates to 1."""
    reach: float
    """K(u) = 0, or less than 1e-8, for |u| beyond it."""


class Smoothing(NamedTuple):
    """How steps and jumps are smoothed for their gradient."""

    kernel: Kernel
    width: Float[Tensor, ""]
    """w, in units of z."""
    moves_z: bool
    """Whether z has the gradient of the smoothed edge, as theta has."""

    def near(self, distance: Float[Tensor, " nnz"]) -> Float[Tensor, " nnz"]:
        """K(distance / w) / w."""
        return self.kernel.density(distance / self.width) / self.width


def _rectangle(u: Tensor) -> Tensor:
    return (u.abs() < 0.5).to(u.dtype)


def _triangle(u: Tensor) -> Tensor:
    return (1 - u.abs()).clamp_min(0)


def _epanechnikov(u: Tensor) -> Tensor:
    return 0.75 * (1 - u.square()).clamp_min(0)


def _gaussian(u: Tensor) -> Tensor:
    return torch.exp(-0.5 * u.square()) / math.sqrt(2 * math.pi)


def _logistic(u: Tensor) -> Tensor:
    return torch.sigmoid(u) * torch.sigmoid(-u)


KERNELS: Mapping[KernelName, Kernel] = MappingProxyType(
    {
        "rectangle": Kernel(_rectangle, 0.5),
        "triangle": Kernel(_triangle, 1.0),
        "epanechnikov": Kernel(_epanechnikov, 1.0),
        "gaussian": Kernel(_gaussian, 6.0),
        "logistic": Kernel(_logistic, 20.0),
    }
)
"""By name. The logistic one is the slope of a sigmoid. The last two reach far: many entries to compute."""


def step(z: Float[Tensor, " nnz"], theta: Float[Tensor, " nnz"], smoothing: Smoothing) -> Float[Tensor, " nnz"]:
    """1 where z > theta, else 0."""
    return _Step.apply(z if smoothing.moves_z else z.detach(), theta, smoothing)


def jump(z: Float[Tensor, " nnz"], theta: Float[Tensor, " nnz"], smoothing: Smoothing) -> Float[Tensor, " nnz"]:
    """z where z > theta, else 0."""
    return _Jump.apply(z, theta, smoothing)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor, smoothing: Smoothing) -> Tensor:
        ctx.save_for_backward(z, theta)
        ctx.smoothing = smoothing
        return (z > theta).to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        z, theta = ctx.saved_tensors
        edge = ctx.smoothing.near(z - theta) * grads[0]
        return edge, -edge, None


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor, smoothing: Smoothing) -> Tensor:
        ctx.save_for_backward(z, theta)
        ctx.smoothing = smoothing
        return z * (z > theta)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        z, theta = ctx.saved_tensors
        edge = theta * ctx.smoothing.near(z - theta) * grads[0]
        on = (z > theta) * grads[0]
        return on + edge if ctx.smoothing.moves_z else on, -edge, None
