"""A tiny model in float64 with a small SAE or transcoder of random weights at each of its layers, and two prompts."""

from typing import Any

import torch

from monoseme.core.seeds import generator
from monoseme.models import LanguageModel, Site
from monoseme.saes.topk import TopK
from monoseme.saes.transcoder import Transcoder
from monoseme.splice import Placed
from monoseme.testing.models import tiny_model

N_LATENTS, K = 31, 3
TOKENS = torch.tensor([[1, 5, 6, 7, 8, 9], [1, 9, 12, 5, 11, 2]])


def double_model(family: str = "llama", *, biases: bool = True) -> LanguageModel:
    """In float64, with or without the biases of its family."""
    model = tiny_model(family)
    modules: Any = model._model
    modules.double()
    if not biases:
        for name, parameter in modules.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    return model


def resid_sae(layer: int, *, width: int, biases: bool = True) -> Placed:
    """A TopK on the residual stream after a block."""
    sae = TopK(TopK.Config(d_in=width, n_latents=N_LATENTS, k=K, seed=layer)).double()
    _shift(sae.b_enc, sae.b_dec, layer, biases)
    return Placed(sae.requires_grad_(False), (Site("resid_post", layer),))


def mlp_transcoder(layer: int, *, width: int, skip: bool = False, biases: bool = True) -> Placed:
    """A transcoder in place of the MLP of a block."""
    config = Transcoder.Config(d_in=width, n_latents=N_LATENTS, k=K, seed=layer, n_sites=2, skip=skip)
    sae = Transcoder(config).double()
    if sae.W_skip is not None:
        sae.W_skip.data.normal_(0.0, 0.1, generator=generator(layer, "skip"))
    _shift(sae.b_enc, sae.b_dec, layer, biases)
    return Placed(sae.requires_grad_(False), (Site("mlp_in", layer), Site("mlp_out", layer)))


def _shift(b_enc: torch.Tensor, b_dec: torch.Tensor, seed: int, wanted: bool) -> None:
    if wanted:
        b_enc.data.normal_(0.0, 0.1, generator=generator(seed, "b_enc"))
        b_dec.data.normal_(0.0, 0.1, generator=generator(seed, "b_dec"))
