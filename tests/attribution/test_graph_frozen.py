"""The frozen forward: no value changes, and without biases every logit is the sum of gradient times embedding."""

from typing import Any

import pytest
import torch
from tests.attribution.tiny import TOKENS, double_model
from torch.nn import functional

from monoseme.attribution.graph import Frozen
from monoseme.core.errors import ModelError
from monoseme.models import Site
from monoseme.testing.models import TINY_FAMILIES

EMBEDDING = Site("resid_pre", 0)


@pytest.mark.parametrize("family", TINY_FAMILIES)
def test_a_model_without_biases_is_linear_in_its_embeddings(family: str):
    model = double_model(family, biases=False)
    clean = model.run(TOKENS).logits
    with Frozen(capped=model.spec.logit_softcap is not None) as frozen:
        out = model.run(TOKENS, grad=True, capture=[EMBEDDING])
    frozen.require_attentions(model.spec.n_layers)
    assert torch.equal(out.logits, clean)
    x = out.captured[EMBEDDING]
    for token in (3, 17):
        gradient = torch.autograd.grad(out.logits[0, -1, token], x, retain_graph=True)[0]
        # RMS norms compute in float32 whatever the model's type.
        assert float((gradient * x.detach()).sum()) == pytest.approx(float(clean[0, -1, token]), abs=1e-5)


def test_patterns_carry_no_gradient_but_values_do():
    q, k, v = (torch.randn(1, 1, 5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    with Frozen(capped=False):
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    gradients = torch.autograd.grad(out.sum(), [q, k, v], allow_unused=True)
    assert gradients[:2] == (None, None)
    assert float((gradients[2] * v.detach()).sum()) == pytest.approx(float(out.detach().sum()))


def test_a_product_with_a_gate_shares_its_gradient_between_both_factors():
    a, b = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (2.0, 3.0))
    with Frozen(capped=False):
        out = functional.silu(a) * b
    for each, gradient in zip((a, b), torch.autograd.grad(out, [a, b]), strict=True):
        assert float(gradient * each.detach()) == pytest.approx(float(out.detach()) / 2)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_norms_keep_their_bits_and_hold_their_factor(name: str):
    x = torch.randn(2, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.linspace(0.5, 1.5, 7, dtype=torch.float64)
    norm: Any = getattr(functional, name)
    with Frozen(capped=False):
        out = norm(x, (7,), weight)
    assert torch.equal(out, norm(x, (7,), weight))
    (gradient,) = torch.autograd.grad(out[0, 3], x)
    assert float((gradient * x.detach()).sum()) == pytest.approx(float(out[0, 3].detach()))


def test_attention_that_goes_by_unseen_is_refused():
    with pytest.raises(ModelError, match="attention eager"):
        Frozen(capped=False).require_attentions(2)
