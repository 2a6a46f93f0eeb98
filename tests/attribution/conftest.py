"""A tiny model in float64, prompts of different lengths, and SAEs of random weights."""

from typing import Any

import pytest
import torch
from tests.splice.conftest import SmallSAE
from torch import Tensor

from monoseme.attribution.metrics import LogitMetric, Readout, logit_difference
from monoseme.models import LanguageModel
from monoseme.testing.models import tiny_model


@pytest.fixture(scope="session")
def exact() -> LanguageModel:
    """A tiny GPT-2 in float64: the norms of the other families compute in float32 whatever they are given."""
    tiny = tiny_model("gpt2")
    return LanguageModel.from_modules(tiny._model.double(), tiny.tokenizer, name="tiny, in float64")


@pytest.fixture
def sae(exact: LanguageModel) -> SmallSAE:
    """F = 31, float64."""
    return SmallSAE(exact.spec.d_model).double()


@pytest.fixture
def readout() -> Readout:
    """Five prompts of 5 to 11 tokens, padded on the right; logits of the last token, sometimes of the one before."""
    return make_readout()


def make_readout() -> Readout:
    random = torch.Generator().manual_seed(5)
    tokens = torch.randint(2, 250, (5, 11), generator=random)
    tokens[:, 0] = 1
    lengths = torch.tensor([11, 7, 5, 11, 9])
    real = torch.arange(11) < lengths[:, None]
    answer = lengths - torch.tensor([1, 1, 1, 3, 2])
    wanted, other = torch.randint(2, 250, (2, 5), generator=random)
    return Readout(tokens.masked_fill(~real, 0), answer, logit_difference(wanted, other), real)


def to_the_left(readout: Readout) -> Readout:
    """The same prompts, padded on the left."""
    assert readout.real is not None
    length = readout.tokens.shape[1]
    shift = length - readout.real.sum(1)
    from_ = (torch.arange(length) - shift[:, None]) % length
    tokens, real = readout.tokens.gather(1, from_), readout.real.gather(1, from_)
    return Readout(tokens, readout.answer_from + shift, readout.metric, real)


def dense(codes: Any) -> Tensor:
    """Of sparse codes."""
    return codes.to_dense()


__all__ = ["LogitMetric", "dense", "make_readout", "to_the_left"]
