"""Additive: what latents write is added to the activations.

    h' = h + sum_i c_i w_i

Source: Turner et al. 2023, arXiv:2308.10248; with an SAE's decoder rows: Templeton et al. 2024, "Scaling monosemanticity";
MLSAE's application; AxBench, arXiv:2501.17148 (c in units of the latent's maximum).
"""

import torch

from monoseme.steering._residual import Along, ResidualMethod
from monoseme.tensors.shapes import Float, Tensor


class Additive(ResidualMethod):
    """The sum of strength x direction at every position where it acts; at strength 0 nothing moves by a bit."""

    formula = "h + c w"

    def changed(self, x: Float[Tensor, "B D"], along: Along) -> Float[Tensor, "B D"]:
        """x plus one vector."""
        return x + steering_vector(along).to(x.dtype)


def steering_vector(along: Along) -> Float[Tensor, " D"]:
    """What addition adds; float32."""
    return torch.mv(along.vectors.t(), along.amounts)
