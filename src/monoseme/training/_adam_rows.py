"""Adam by rows: parameters whose gradient came as factors are updated by a kernel set's `RowUpdates`, without a dense gradient.

A single factor, or two where the set takes two (an auxiliary loss beside the reconstruction), are used up in the one pass that
updates the rows. Where the norm must be known first (clipping), or a gradient has more addends (accumulated batches, a dense
part), it is gathered into a buffer, kept for the next step, and the rows are updated from there.

Letters: F latents, D model width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from monoseme.kernels import AdamRule, RowMatrix, RowUpdates, note_step, row_matrix
from monoseme.tensors.factored import FactoredGrad


@dataclass
class RowGradient:
    """What one parameter waits to be updated with."""

    parameter: nn.Parameter
    factors: list[FactoredGrad]
    """At least one."""
    transposed: bool
    """The parameter is [D, F]: rows are those of its transpose."""
    unit: bool
    """Rows are kept at unit norm."""
    rest: Tensor | None
    """A dense addend, [F, D]."""
    summed: Tensor | None = None
    """[F, D], once gathered."""

    @property
    def shape(self) -> torch.Size:
        """F, D."""
        return self.parameter.t().shape if self.transposed else self.parameter.shape


def claim(parameter: nn.Parameter, factors: list[FactoredGrad], rows: RowUpdates, *, unit: bool) -> RowGradient | None:
    """The parameter's gradient for an update by rows, with its `.grad` taken along; None where it must go the dense way."""
    transposed = factors[0].transposed
    if parameter.ndim != 2 or any(factor.transposed != transposed for factor in factors) or (unit and transposed):
        return None
    if not rows.takes(parameter.detach().t() if transposed else parameter.detach()):
        return None
    rest = parameter.grad
    parameter.grad = None
    return RowGradient(parameter, factors, transposed, unit, rest.t() if transposed and rest is not None else rest)


class RowAdam:
    """Gathers and steps; keeps the buffers."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.Size], Tensor] = {}

    def gather(self, rows: RowUpdates, gradient: RowGradient, moments: tuple[Tensor, Tensor], *, room: str) -> Tensor:
        """Sums the gradient into the buffer named `room`; returns its squared norm after projection, 0-d float64."""
        key = (room, gradient.shape)
        if key not in self._buffers:
            self._buffers[key] = torch.empty(gradient.shape, dtype=gradient.parameter.dtype, device=gradient.parameter.device)
        gradient.summed = self._buffers[key]
        if gradient.rest is not None:
            gradient.summed.copy_(gradient.rest)
        matrix = _matrix(gradient, moments)
        return rows.gather(matrix, gradient.factors, gradient.summed, add=gradient.rest is not None)

    def step(self, rows: RowUpdates, gradient: RowGradient, moments: tuple[Tensor, Tensor], rule: AdamRule, *,
             scale: float) -> Tensor:  # fmt: skip
        """Updates the parameter and its moments; returns the gradient's squared norm, after projection and before `scale`."""
        most = 2 if rows.takes_two else 1
        if gradient.summed is None and (len(gradient.factors) > most or gradient.rest is not None):
            self.gather(rows, gradient, moments, room="shared")
        matrix = _matrix(gradient, moments)
        if gradient.summed is not None:
            square = rows.step(matrix, gradient.summed, rule, scale=scale)
        else:
            first, *more = gradient.factors
            square = rows.step(matrix, first, rule, scale=scale, also=more[0] if more else None)
        note_step(gradient.parameter, matrix)
        return square


def _matrix(gradient: RowGradient, moments: tuple[Tensor, Tensor]) -> RowMatrix:
    return row_matrix(gradient.parameter, moments, transposed=gradient.transposed, unit=gradient.unit)
