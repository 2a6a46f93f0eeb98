"""Add to the code: a number is added to latents after the SAE has chosen which fire.

    f_i := f_i + c;    with the error term  h' = h + c w_i, as addition

Differs from h_bias in that nothing is chosen again: no other latent gives way. Without the error term the model goes on with the
reconstruction.
Source: what llama3-sae's steering is often taken for; the formula is that of addition, in the code.
"""

from monoseme.steering._code import ValueMethod
from monoseme.tensors.shapes import Float, Tensor


class CodeAdd(ValueMethod):
    """Every row gets the same amount more of the latent."""

    formula = "f := f + c"

    def values(self, now: Float[Tensor, "B m"], amounts: Float[Tensor, " m"]) -> Float[Tensor, "B m"]:
        """The sum."""
        return now + amounts
