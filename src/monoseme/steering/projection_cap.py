"""Projection cap: what lies along a direction is cut off above a length, the rest stays.

    h' = h - max(0, <h, w/|w|> - c |w|) w/|w|

Several directions are taken one after the other, in the order given.
Source: Neuronpedia's steering ("projection cap").
"""

from monoseme.steering._residual import Along, ResidualMethod
from monoseme.tensors.shapes import Float, Tensor


class ProjectionCap(ResidualMethod):
    """Rows whose part along the direction is no longer than c |w| stay as they are, bit by bit."""

    formula = "h with its part along w cut off above c |w|"

    def changed(self, x: Float[Tensor, "B D"], along: Along) -> Float[Tensor, "B D"]:
        """The rows, one direction after the other."""
        for unit, length in zip(along.units().to(x.dtype), along.lengths().to(x.dtype), strict=True):
            x = x - (x @ unit - length).clamp_min(0).unsqueeze(1) * unit
        return x
