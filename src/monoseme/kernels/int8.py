"""Rows rounded to int8, with a scale for each.

On the CPU by a compiled loop, where there is Numba; elsewhere by torch, which gives the same bits and takes five passes.
Letters: R rows, D columns.
"""

from typing import NamedTuple

import torch

from monoseme.kernels.dispatch import resolve
from monoseme.tensors.shapes import Float, Int, Tensor

MOST = 127
"""The largest code; -128 is not used."""


class Int8Rows(NamedTuple):
    """A row is its codes times its scale."""

    codes: Int[Tensor, "R D"]
    """int8."""
    scale: Float[Tensor, " R"]
    """Float32: max|x| / 127 of the row; 0 for a row of zeros."""


def to_int8(x: Float[Tensor, "R D"]) -> Int8Rows:
    """x / scale, rounded to nearest, ties to even, in float32. `x` is finite, of any float type, on any device."""
    x = x.to(torch.float32)
    return _by_loop(x) if _has_loop(x) else _by_torch(x)


def _has_loop(x: Tensor) -> bool:
    return x.is_contiguous() and resolve("auto", x.device) == "numba"


def _by_loop(x: Tensor) -> Int8Rows:
    from monoseme.kernels._cpu_int8 import round_rows

    rows = Int8Rows(torch.empty(x.shape, dtype=torch.int8), torch.empty(len(x)))
    round_rows(x.detach().numpy(), rows.codes.numpy(), rows.scale.numpy())
    return rows


def _by_torch(x: Tensor) -> Int8Rows:
    scale = torch.linalg.vector_norm(x, ord=float("inf"), dim=-1) / MOST
    divisor = torch.where(scale > 0, scale, 1.0).unsqueeze(-1)
    # The smallest numbers there are leave a scale with few bits, and a quotient that may be above 127.
    codes = (x / divisor).round_().clamp_(-MOST, MOST)
    # Where the scale vanishes and x does not, x is below 1e-43: it decodes to 0 whatever the codes are.
    return Int8Rows(codes.to(torch.int8), scale)
