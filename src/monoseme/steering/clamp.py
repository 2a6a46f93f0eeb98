"""Clamp: latents are set to a value, whether they fire or not.

    f_i := c;    with the error term  h' = h + (c - f_i(h)) w_i

Source: Templeton et al. 2024, "Scaling monosemanticity"; AxBench, arXiv:2501.17148 ("clamping", c in units of the maximum).
"""

from monoseme.steering._code import ValueMethod
from monoseme.tensors.shapes import Float, Tensor


class Clamp(ValueMethod):
    """Every row gets the same value of the latent."""

    formula = "f := c"

    def values(self, now: Float[Tensor, "B m"], amounts: Float[Tensor, " m"]) -> Float[Tensor, "B m"]:
        """The amounts."""
        return amounts.expand_as(now)
