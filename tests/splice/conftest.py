"""A small SAE of no architecture in particular, and tiny models to put it into."""

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monoseme.models import LanguageModel
from monoseme.saes import SAE, Codes
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing.models import TINY_FAMILIES, tiny_model

make = functools.cache(tiny_model)
N_LATENTS = 31


class SmallSAE(nn.Module):
    """ReLU latents with random weights; its parts are the even and the odd latents."""

    learns_from = reads = "tokens"
    codes_per_site = False
    n_latents = N_LATENTS
    roles = SAE.roles
    encode_contexts = SAE.encode_contexts

    def __init__(self, d_in: int, *, is_sparse: bool = True) -> None:
        super().__init__()
        self.d_in = d_in
        self.is_sparse = is_sparse
        random = torch.Generator().manual_seed(1)
        self.w_enc = nn.Parameter(torch.randn(d_in, N_LATENTS, generator=random))
        self.w_dec = nn.Parameter(torch.randn(N_LATENTS, d_in, generator=random) * 0.2)
        self.b_dec = nn.Parameter(torch.randn(d_in, generator=random))

    def encode(self, x: Tensor, state: Any = None) -> Codes:
        whole = ((x - self.b_dec) @ self.w_enc).relu()
        is_even = torch.arange(N_LATENTS) % 2 == 0
        parts = {"all": whole, "even": whole * is_even, "odd": whole * ~is_even}
        return Codes({name: SparseCodes.from_dense(p) for name, p in parts.items()} if self.is_sparse else parts)

    def decode(self, codes: Codes) -> Tensor:
        return codes.dense() @ self.w_dec + self.b_dec


@pytest.fixture(params=TINY_FAMILIES)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    """A tiny model of each family in turn."""
    return make(request.param)


@pytest.fixture
def llama() -> LanguageModel:
    """A tiny Llama, D = 20."""
    return make("llama")


@pytest.fixture(params=[True, False], ids=["sparse", "dense"])
def sae(request: pytest.FixtureRequest) -> SmallSAE:
    """An SAE for the tiny Llama."""
    return SmallSAE(20, is_sparse=request.param)


@pytest.fixture
def sae_for():
    """Makes an SAE of a width."""
    return SmallSAE


@pytest.fixture
def tokens() -> Tensor:
    """[n=2, S=11], BOS first."""
    drawn = torch.randint(2, 250, (2, 11), generator=torch.Generator().manual_seed(3))
    drawn[:, 0] = 1
    return drawn
