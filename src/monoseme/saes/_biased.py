"""Codes with a bias on some latents, added before any are chosen: `h_bias` of llama3-sae, for every linear encoder.

Letters: B rows, D model width, F latents.
"""

import itertools
from typing import Any

from torch import nn
from torch.func import functional_call  # pyright: ignore[reportPrivateImportUsage]

from monoseme.core.errors import ConfigError
from monoseme.saes._codes import Codes
from monoseme.tensors.shapes import Float, Tensor


class _Encoding(nn.Module):
    """An SAE whose forward is `encode`."""

    def __init__(self, sae: Any) -> None:
        super().__init__()
        self.sae = sae

    def forward(self, x: Tensor) -> Codes:
        return self.sae.encode(x)


def encode_biased(sae: nn.Module, x: Float[Tensor, "*lead D"], latent_bias: Float[Tensor, " F"]) -> Codes:
    """`sae.encode(x)` with a bias, in the unit of codes, on its pre-activations; they are `x W_enc + b_enc` and what follows.

    Raises ConfigError for an architecture without such a `b_enc`.
    """
    own = dict(itertools.chain(sae.named_parameters(recurse=False), sae.named_buffers(recurse=False))).get("b_enc")
    if own is None or own.shape != latent_bias.shape:
        raise ConfigError(
            f"{type(sae).__name__} does not choose among pre-activations of its latents, so there is nothing to add a bias to.\n"
            "  Take clamp or additive."
        )
    added = latent_bias.to(own) * sae.get_buffer("input_factor")
    return functional_call(_Encoding(sae), {"sae.b_enc": own + added}, (x,))
