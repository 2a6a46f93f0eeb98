"""Latent bias: a number is added to latents' pre-activations, before the SAE chooses which fire.

    f = choose(pre + c e_i);    with the error term  h' = h + decode(f) - decode(f without the bias)

A latent that is pushed up takes the place of the weakest one that fired (TopK), and must pass its threshold (JumpReLU). Of
TFA the novel code is biased, the predicted one stays.

Source: Pauls 2024, github.com/PaulPauls/llama3_interpretability_sae (`h_bias`, at all tokens, without the error term).
"""

import torch

from monoseme.core.errors import ConfigError
from monoseme.saes import SAE, Codes
from monoseme.splice import SAELike
from monoseme.steering._code import CodeMethod, Latents
from monoseme.tensors.shapes import Float, Tensor


class HBias(CodeMethod):
    """Strengths are in the unit of codes; for SAEs of standardised vectors, in standard deviations, as in the source."""

    formula = "f := choose(pre + c)"

    def steered(self, sae: SAELike, x: Float[Tensor, "*lead D"], codes: Codes, latents: Latents) -> Codes:
        """The rows encoded again with the bias. Raises ConfigError where the SAE has no pre-activations to choose among."""
        if not isinstance(sae, SAE):
            raise ConfigError(f"{type(sae).__name__} does not say what its code is with a bias: take clamp or additive")
        bias = torch.zeros(sae.n_latents, device=x.device, dtype=x.dtype)
        bias[latents.numbers.to(x.device)] = latents.amounts.to(bias)
        return sae.encode_biased(x, bias, codes) if bool(bias.any()) else codes
