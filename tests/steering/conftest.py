"""Tiny models, and small SAEs for their residual stream."""

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from monoseme.models import LanguageModel, Site
from monoseme.saes import SAE, SAES
from monoseme.saes.tfa import TFA
from monoseme.testing.models import TINY_FAMILIES, tiny_model

make = functools.cache(tiny_model)
SITE = Site("resid_post", 1)
F = 23


@functools.cache
def small_sae(name: str = "topk", d_in: int = 20) -> SAE:
    """An SAE of an architecture, started on random rows, whose biases and decoder differ from where they begin."""
    cls = SAES.get(name)
    if cls is TFA:
        config = TFA.Config(d_in=d_in, n_latents=24, k=5, n_heads=3, n_attention_layers=2, bottleneck=2)
    else:
        kinds: dict[str, Any] = {"k": 5} if "k" in cls.Config.__dataclass_fields__ else {}
        if "group_fractions" in cls.Config.__dataclass_fields__:
            kinds["group_fractions"] = (0.4, 0.6)
        config = cls.Config(d_in=d_in, n_latents=F, **kinds)
    sae = cls(config)
    random = torch.Generator().manual_seed(2)
    sae.start(3 * torch.randn(200, d_in, generator=random) + 1)
    with torch.no_grad():
        for bias in ("b_enc", "b_gate", "b_mag"):
            if bias in dict(sae.named_parameters()):
                sae.get_parameter(bias).copy_(0.1 * torch.randn(config.n_latents, generator=random))
    return sae.requires_grad_(False)


@pytest.fixture(params=TINY_FAMILIES)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    """A tiny model of each family in turn; tests do not change it."""
    return make(request.param)


@pytest.fixture
def llama() -> LanguageModel:
    """A tiny Llama, D = 20."""
    return make("llama")


@pytest.fixture
def tokens() -> Tensor:
    """[n=2, S=11], BOS first."""
    drawn = torch.randint(2, 250, (2, 11), generator=torch.Generator().manual_seed(3))
    drawn[:, 0] = 1
    return drawn
