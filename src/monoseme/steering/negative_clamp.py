"""Negative clamp: where latents fire they are set to a negative value; at strength 0 they are ablated.

    f_i := -c where f_i > 0

Source: Farrell et al. 2024, arXiv:2410.19278, and SAEBench's unlearning, arXiv:2503.09532 (clamping to -c where active).
"""

from monoseme.steering._code import ValueMethod
from monoseme.tensors.shapes import Float, Tensor


class NegativeClamp(ValueMethod):
    """Rows in which the latent is silent stay as they are, bit by bit with the error term."""

    formula = "f := -c where f > 0; c = 0 ablates"

    def values(self, now: Float[Tensor, "B m"], amounts: Float[Tensor, " m"]) -> Float[Tensor, "B m"]:
        """Less than nothing where it fires."""
        return (-amounts).where(now > 0, now)
