"""Sums over some rows of a matrix, in float64: deviations from a point with their squares, and what rounding changed.

On the CPU by compiled loops, where there is Numba, in one pass each; elsewhere by torch, some rows at a time. The terms are
float64 from the first on, so the two differ only by the order of the sums.
Letters: R rows, K of them kept, D columns.
"""

from typing import NamedTuple

import torch

from monoseme.kernels.dispatch import resolve
from monoseme.tensors.running import float64_device
from monoseme.tensors.shapes import Float, Int, Tensor

_CHUNK = 2048
"""Rows that torch converts at a time."""


class Deviations(NamedTuple):
    """Sums over the kept rows, float64, on the CPU."""

    sums: Float[Tensor, " D"]
    """Of x - about."""
    squares: Float[Tensor, " D"]
    """Of (x - about)^2."""


def deviations(x: Float[Tensor, "R D"], kept: Int[Tensor, " K"], about: Float[Tensor, " D"]) -> Deviations:
    """Sums of the kept rows' deviations from `about` (float64, on the CPU); `x` in any float type, on any device."""
    sums, squares = about.new_zeros(about.shape), about.new_zeros(about.shape)
    if _is_for_numba(x):
        from monoseme.kernels._cpu_moments import add_deviations

        add_deviations(x.numpy(), kept.numpy(), about.numpy(), sums.numpy(), squares.numpy())
        return Deviations(sums, squares)
    device = float64_device(x.device)
    point = about.to(device)
    for rows in kept.split(_CHUNK):
        part = x[rows.to(x.device)].to(device).double() - point
        sums += part.sum(0).cpu()
        squares += part.square_().sum(0).cpu()
    return Deviations(sums, squares)


def squared_error(
    x: Float[Tensor, "R D"], stored: Tensor, kept: Int[Tensor, " K"], *, scale: Float[Tensor, " R"] | None = None
) -> float:
    """Sum over the kept rows of |x - stored|^2, float64.

    `stored` [R, D] in float32, bfloat16, float16 or int8; with `scale`, a stored row times its scale in float32.
    """
    if stored.dtype is torch.float16 or (stored.dtype is not torch.int8 and scale is not None):
        stored, scale = stored.float() if scale is None else stored.float() * scale.unsqueeze(1), None
    if _is_for_numba(x) and stored.is_contiguous():
        return _compiled_error(x, stored, kept, scale)
    device, total = float64_device(x.device), 0.0
    for rows in kept.split(_CHUNK):
        rows = rows.to(x.device)
        there = stored[rows].float() if scale is None else stored[rows].float() * scale[rows].unsqueeze(1)
        total += float((x[rows].to(device).double() - there.to(device).double()).square_().sum())
    return total


def _compiled_error(x: Tensor, stored: Tensor, kept: Tensor, scale: Tensor | None) -> float:
    from monoseme.kernels import _cpu_moments as loops

    if stored.dtype is torch.bfloat16:
        return float(loops.squared_error_bfloat16(x.numpy(), stored.view(torch.uint16).numpy(), kept.numpy()))
    if stored.dtype is torch.int8 and scale is not None:
        return float(loops.squared_error_int8(x.numpy(), stored.numpy(), scale.numpy(), kept.numpy()))
    return float(loops.squared_error_float32(x.numpy(), stored.numpy(), kept.numpy()))


def _is_for_numba(x: Tensor) -> bool:
    return x.dtype is torch.float32 and x.is_contiguous() and resolve("auto", x.device) == "numba"
