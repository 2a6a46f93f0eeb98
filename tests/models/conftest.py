"""One tiny model per family, and ragged tokens to run through it."""

import functools
from collections.abc import Callable

import pytest
import torch

from monoseme.models import LanguageModel
from monoseme.testing.models import TINY_FAMILIES, tiny_model

make = functools.cache(tiny_model)


@pytest.fixture(params=TINY_FAMILIES)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    """A tiny model of each family in turn; tests do not change it."""
    return make(request.param)


@pytest.fixture
def llama() -> LanguageModel:
    """A tiny Llama."""
    return make("llama")


@pytest.fixture
def tiny() -> Callable[[str], LanguageModel]:
    """A tiny model by family."""
    return make


@pytest.fixture
def tokens() -> torch.Tensor:
    """[n=2, S=11], longer than the sliding windows; BOS first, no other special token."""
    drawn = torch.randint(2, 250, (2, 11), generator=torch.Generator().manual_seed(3))
    drawn[:, 0] = 1
    return drawn
