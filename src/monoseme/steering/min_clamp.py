"""Min-clamp: latents are raised to a value where they are below it.

    f_i := max(f_i, c)

Source: AxBench, arXiv:2501.17148 (clamping from below).
"""

import torch

from monoseme.steering._code import ValueMethod
from monoseme.tensors.shapes import Float, Tensor


class MinClamp(ValueMethod):
    """Rows in which the latent is as strong already stay as they are, bit by bit with the error term."""

    formula = "f := max(f, c)"

    def values(self, now: Float[Tensor, "B m"], amounts: Float[Tensor, " m"]) -> Float[Tensor, "B m"]:
        """The larger of both."""
        return torch.maximum(now, amounts)
