"""Losses through the model: their values by hand, their gradient against finite differences, and who is left out."""

from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel, Site
from monoseme.saes import Losses, build, config_from_dict
from monoseme.splice.objective import ModelObjective
from monoseme.testing.models import tiny_model

SITE = Site("resid_post", 1)
N, S, D, F = 2, 7, 20, 11
DOCUMENTS = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [2, 2, 2, 2, 2, -1, -1]])
MASK = torch.tensor([[False, True, True, True, True, False, True], [True, True, True, True, True, False, False]])
COUNTED = [(0, 1), (0, 3), (0, 4), (1, 0), (1, 1), (1, 2), (1, 3)]
"""Unmasked, and followed by a real token of the same document: (0, 2) is a document's last, (0, 5) masked, (0, 6) the end."""


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    """A tiny GPT-2 in float64, so that finite differences mean something (Llama's norms compute in float32 whatever the type)."""
    small = tiny_model("gpt2")
    return LanguageModel.from_modules(small._model.double(), small.tokenizer, name="tiny-double")


@pytest.fixture(scope="module")
def batch(model: LanguageModel) -> Any:
    tokens = torch.randint(3, 90, (N, S), generator=torch.Generator().manual_seed(0))
    x = model.capture(tokens, [SITE], real=DOCUMENTS >= 0)[SITE]
    return SimpleNamespace(x=x, mask=MASK, tokens=tokens, documents=DOCUMENTS)


def losses_of(x_hat: Tensor) -> Losses:
    return Losses(total=x_hat.sum(), parts={}, active=None, x_hat=x_hat, x=x_hat)


def value(model: LanguageModel, batch: Any, x_hat: Tensor, kind: Literal["ce", "kl"]) -> Tensor:
    return ModelObjective(model, {"one": SITE}, kind)("one", losses_of(x_hat), batch)


def test_kl_is_zero_when_nothing_is_lost(model: LanguageModel, batch: Any) -> None:
    assert value(model, batch, batch.x[MASK].clone().requires_grad_(), "kl").item() == 0.0


def test_both_are_means_over_next_tokens_within_a_document(model: LanguageModel, batch: Any) -> None:
    x_hat = 0.7 * batch.x[MASK] + 0.1
    spliced = batch.x.clone()
    spliced[MASK] = x_hat
    real = DOCUMENTS >= 0
    log_p, log_q = (model.run_from(SITE, x, tokens=batch.tokens, real=real).double().log_softmax(-1) for x in (batch.x, spliced))
    ce = [-float(log_q[i, j, batch.tokens[i, j + 1]]) for i, j in COUNTED]
    kl = [float((log_p[i, j].exp() * (log_p[i, j] - log_q[i, j])).sum()) for i, j in COUNTED]
    assert float(value(model, batch, x_hat, "ce")) == pytest.approx(sum(ce) / len(ce), rel=1e-10)
    assert float(value(model, batch, x_hat, "kl")) == pytest.approx(sum(kl) / len(kl), rel=1e-10)


@pytest.mark.parametrize("kind", ["ce", "kl"])
def test_the_gradient_reaches_every_parameter_and_is_that_of_finite_differences(
    model: LanguageModel, batch: Any, kind: Literal["ce", "kl"]
) -> None:
    sae = build(config_from_dict({"architecture": "topk", "d_in": D, "n_latents": F, "k": 3})).double()
    sae.start(batch.x[DOCUMENTS >= 0])

    def loss() -> Tensor:
        return ModelObjective(model, {"one": SITE}, kind)("one", sae.loss(batch.x, mask=MASK), batch)

    loss().backward()
    random, step = torch.Generator().manual_seed(1), 1e-6
    for name, parameter in sae.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name
        direction = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step * direction
                ends.append(loss().item())
                parameter -= sign * step * direction
        measured = (ends[0] - ends[1]) / (2 * step)
        assert float((parameter.grad * direction).sum()) == pytest.approx(measured, rel=1e-5, abs=1e-9), name


def test_no_weight_of_the_model_gets_a_gradient(model: LanguageModel, batch: Any) -> None:
    x_hat = (0.5 * batch.x[MASK]).requires_grad_()
    value(model, batch, x_hat, "kl").backward()
    assert x_hat.grad is not None
    assert all(parameter.grad is None for parameter in model._model.parameters())


def test_a_batch_without_a_prediction_costs_nothing(model: LanguageModel, batch: Any) -> None:
    alone = SimpleNamespace(x=batch.x, mask=MASK, tokens=batch.tokens, documents=torch.arange(N * S).reshape(N, S))
    x_hat = (0.5 * batch.x[MASK]).requires_grad_()
    loss = value(model, alone, x_hat, "ce")
    loss.backward()
    assert loss.item() == 0.0
    assert not x_hat.grad.any()


def test_rows_without_their_text_are_refused(model: LanguageModel, batch: Any) -> None:
    bare = SimpleNamespace(x=batch.x, mask=MASK, tokens=None, documents=None)
    with pytest.raises(ConfigError, match="whole contexts"):
        value(model, bare, batch.x[MASK], "kl")


def test_reconstructions_of_several_sites_are_refused(model: LanguageModel, batch: Any) -> None:
    with pytest.raises(ConfigError, match="one site"):
        value(model, batch, batch.x[MASK].repeat(1, 2), "kl")
