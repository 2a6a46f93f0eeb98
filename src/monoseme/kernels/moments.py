"""Sums over some rows of a matrix, in float64: deviations from a point with their squares, and what storing the rows changed.

On the CPU by compiled loops where there is Numba, at 0.1 to 0.2 ns per number and pass; elsewhere by torch, ten times slower.
The terms are float64 from the first on, so that the two differ only by the order of the sums.
Letters: R rows, K of them kept, D columns.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.kernels.dispatch import resolve
from monoseme.tensors.running import float64_device
from monoseme.tensors.shapes import Float, Int, Tensor

_CHUNK = 2048
"""Rows that torch converts at a time."""


class RowSums(NamedTuple):
    """Sums over rows so far, float64; they are added to in place."""

    about: NDArray[np.float64]
    """[D]; the point that deviations are from. Near the mean, nothing cancels."""
    sums: NDArray[np.float64]
    """[D]; of x - about."""
    squares: NDArray[np.float64]
    """[D]; of (x - about)^2."""
    lost: NDArray[np.float64]
    """[1]; of |x - stored|^2."""

    @classmethod
    def zero(cls, about: NDArray[np.float64]) -> "RowSums":
        """Before the first row."""
        return cls(about, np.zeros_like(about), np.zeros_like(about), np.zeros(1))


class Stored(NamedTuple):
    """What is kept of the rows."""

    x: Tensor
    """[R, D]; float32, bfloat16, float16 or int8."""
    scale: Float[Tensor, " R"] | None = None
    """Float32; a row is `x` times its scale. None: 1."""


def add_rows(so_far: RowSums, x: Float[Tensor, "R D"], kept: Int[Tensor, " K"], stored: Stored | None = None) -> None:
    """Adds the kept rows; `x` in any float type, on any device, `stored` on the same (None: nothing is lost)."""
    if _has_loops(x, stored):
        _add_compiled(so_far, x, kept, stored)
        return
    device = float64_device(x.device)
    about = torch.from_numpy(so_far.about).to(device)
    for rows in kept.to(x.device).split(_CHUNK):
        part = x[rows].to(device).double()
        if stored is not None:
            there = stored.x[rows].float() if stored.scale is None else stored.x[rows].float() * stored.scale[rows].unsqueeze(1)
            so_far.lost[0] += float((part - there.to(device).double()).square_().sum())
        part -= about
        so_far.sums[:] += part.sum(0).cpu().numpy()
        so_far.squares[:] += part.square_().sum(0).cpu().numpy()


def _has_loops(x: Tensor, stored: Stored | None) -> bool:
    if x.dtype is not torch.float32 or not x.is_contiguous() or resolve("auto", x.device) != "numba":
        return False
    return stored is None or (stored.x.is_contiguous() and (stored.scale is None) == (stored.x.dtype is not torch.int8))


def _add_compiled(so_far: RowSums, x: Tensor, kept: Tensor, stored: Stored | None) -> None:
    from monoseme.kernels import _cpu_moments as loops

    given = x.numpy(), kept.numpy(), so_far.about, so_far.sums, so_far.squares
    if stored is None:
        loops.add_deviations(*given)
    elif stored.scale is not None:
        so_far.lost[0] += loops.add_with_int8(*given, (stored.x.numpy(), stored.scale.numpy()))
    elif stored.x.dtype is torch.bfloat16:
        so_far.lost[0] += loops.add_with_bfloat16(*given, stored.x.view(torch.uint16).numpy())
    else:
        so_far.lost[0] += loops.add_with_float32(*given, stored.x.float().numpy())
