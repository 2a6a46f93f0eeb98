"""Orthogonal decomposition: what lies along a direction is multiplied by a factor, the rest stays.

    h' = (I - P) h + c P h,    P the projector on the direction; c = 1 changes nothing, 0 removes it, -1 mirrors it

Several directions are taken one after the other, in the order given. The strength is a factor, so its unit is raw.
Source: Neuronpedia's steering ("orthogonal decomposition"); removal: Arditi et al. 2024, arXiv:2406.11717 (ablating a direction).
"""

from typing import ClassVar

from monoseme.steering._residual import Along, ResidualMethod
from monoseme.steering._strength import Unit
from monoseme.tensors.shapes import Float, Tensor


class Orthogonal(ResidualMethod):
    """Scales the activations' own part along a direction, so that tokens without it stay without."""

    formula = "(I - P) h + c P h, P the projector on w"
    units: ClassVar[tuple[Unit, ...]] = ("raw",)

    def changed(self, x: Float[Tensor, "B D"], along: Along) -> Float[Tensor, "B D"]:
        """The rows, one direction after the other."""
        for unit, factor in zip(along.units().to(x.dtype), along.amounts.to(x.dtype), strict=True):
            x = x + (factor - 1) * (x @ unit).unsqueeze(1) * unit
        return x
