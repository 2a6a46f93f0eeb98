"""Reading beginnings once: what follows is what a whole forward gives, with its gradients."""

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import ModelError
from monoseme.models import EditContext, FunctionEdit, LanguageModel, Site, replacement
from monoseme.testing.models import TINY_FAMILIES, tiny_model

SITE = Site("resid_post", 1)


@pytest.fixture(params=TINY_FAMILIES)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    """A tiny model of each family in turn."""
    return tiny_model(request.param)


@pytest.fixture
def tokens() -> Tensor:
    """[n=3, S=13]: longer than the windows of sliding attention."""
    return torch.randint(2, 250, (3, 13), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("n_prefix", [0, 2, 9, 12])
def test_what_follows_is_as_in_a_whole_forward(model: LanguageModel, tokens: Tensor, n_prefix: int) -> None:
    """For rows repeated and out of order, one of them padded on the left beyond where the prefix ends."""
    real = torch.ones_like(tokens, dtype=torch.bool)
    real[1, :3] = False
    whole = model.run(tokens, real=real, capture=[SITE])
    prefix = model.prefix(tokens[:, :n_prefix], real=real[:, :n_prefix], capture=[SITE])
    rows = torch.tensor([2, 1, 1, 0])
    out = prefix.run(tokens[rows, n_prefix:], rows=rows, real=real[rows, n_prefix:], capture=[SITE])
    torch.testing.assert_close(out.logits, whole.logits[rows, -1], atol=1e-4, rtol=1e-4)
    found = out.captured[SITE] if n_prefix == 0 else torch.cat([prefix.captured[SITE][rows], out.captured[SITE]], dim=1)
    torch.testing.assert_close(found[real[rows]], whole.captured[SITE][rows][real[rows]], atol=1e-4, rtol=1e-4)


def test_gradients_behind_a_prefix_are_those_of_a_whole_forward(model: LanguageModel, tokens: Tensor) -> None:
    """Also where the blocks before the site are left out."""
    x = model.capture(tokens, [SITE])[SITE]
    whole = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model.run_from(SITE, whole, tokens=tokens)[:, -1, 5].sum(), [whole])
    prefix, late = model.prefix(tokens[:, :7]), x[:, 7:].clone().requires_grad_()
    edits = [replacement(SITE, late)]
    logits = prefix.run(tokens[:, 7:], rows=torch.arange(3), edits=edits, skip_blocks=2).logits
    (found,) = torch.autograd.grad(logits[:, 5].sum(), [late])
    torch.testing.assert_close(found, expected[:, 7:], atol=1e-4, rtol=1e-4)


def test_a_prefix_stays_as_it_was_read(model: LanguageModel, tokens: Tensor) -> None:
    prefix, every = model.prefix(tokens[:, :7]), torch.arange(3)
    first, second = (prefix.run(tokens[:, 7:], rows=every).logits for _ in range(2))
    assert torch.equal(first, second)


def test_edits_act_on_both_parts(tokens: Tensor) -> None:
    """As the default mask of a whole forward says: not at special tokens."""
    model = tiny_model("llama")
    tokens[:, [0, 9]] = 1

    def shift(x: Tensor, context: EditContext) -> Tensor:
        return x + 3.0 * context.mask.unsqueeze(-1) * torch.arange(20.0).sin()

    edits = [FunctionEdit(SITE, shift)]
    found = model.prefix(tokens[:, :7], edits=edits).run(tokens[:, 7:], rows=torch.arange(3), edits=edits)
    torch.testing.assert_close(found.logits, model.run(tokens, edits=edits).logits[:, -1], atol=1e-4, rtol=1e-4)


def test_a_model_that_keeps_more_than_keys_and_values_is_refused(tokens: Tensor) -> None:
    from transformers import MambaConfig

    from monoseme.testing.models import random_modules, tiny_tokenizer

    config = MambaConfig(vocab_size=300, hidden_size=20, num_hidden_layers=2, state_size=3, pad_token_id=0, bos_token_id=1)
    mamba = LanguageModel.from_modules(random_modules(config), tiny_tokenizer())
    with pytest.raises(ModelError, match="share_prefix=False"):
        mamba.prefix(tokens[:, :7])


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "qwen3"])
def test_one_reading_serves_runs_at_any_position(family: str, tokens: Tensor) -> None:
    """As if each row were cut off there."""
    model, rows, at = tiny_model(family), torch.tensor([2, 0, 0, 1]), torch.tensor([12, 5, 0, 7])
    found = model.prefix(tokens).run(tokens[rows, at][:, None], rows=rows, n_seen=at).logits
    torch.testing.assert_close(found, model.run(tokens).logits[rows, at], atol=1e-4, rtol=1e-4)


def test_a_reading_longer_than_the_window_serves_runs_at_its_end_alone(tokens: Tensor) -> None:
    prefix, row = tiny_model("mistral").prefix(tokens), torch.tensor([0])
    with pytest.raises(ModelError, match="a window of fewer than 13 tokens"):
        prefix.run(tokens[row, 5][:, None], rows=row, n_seen=torch.tensor([5]))
