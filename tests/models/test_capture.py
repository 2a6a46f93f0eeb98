"""What is captured is what the model computes, at every site of every family."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from monoseme.core.errors import ModelError, SiteError
from monoseme.models import LanguageModel, Site

ROUNDING = 2e-6
"""Sums in another order, relative to values of about 10 in float32."""


def _hidden_states(model: LanguageModel, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return model._model(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states


def test_the_residual_stream_is_transformers_own(model: LanguageModel, tokens: torch.Tensor) -> None:
    expected = _hidden_states(model, tokens)
    captured = model.capture(tokens, model.spec.sites("resid_pre.*,resid_post.*"))
    for layer in range(model.spec.n_layers):
        assert torch.equal(captured[Site("resid_pre", layer)], expected[layer])
    for layer in range(model.spec.n_layers - 1):  # transformers gives the last one after the final norm
        assert torch.equal(captured[Site("resid_post", layer)], expected[layer + 1])


def test_attention_and_mlp_add_up_to_what_a_block_adds(model: LanguageModel, tokens: torch.Tensor) -> None:
    for layer in range(model.spec.n_layers):
        pre, attn, mlp, post = (Site(kind, layer) for kind in ("resid_pre", "attn_out", "mlp_out", "resid_post"))
        x = model.capture(tokens, [pre, attn, mlp, post])
        torch.testing.assert_close(x[pre] + x[attn] + x[mlp], x[post], atol=ROUNDING, rtol=ROUNDING)
        assert min(float(x[part].abs().mean()) for part in (attn, mlp)) > 0.05  # neither is nothing


def test_the_inputs_of_attention_and_mlp_are_normed_residuals(model: LanguageModel, tokens: torch.Tensor) -> None:
    block = model._forward._anatomy.blocks[1]
    norms = dict(block.named_children())
    before_mlp = next(n for n in ("ln_2", "pre_feedforward_layernorm", "post_attention_layernorm") if n in norms)
    sites = [Site(kind, 1) for kind in ("resid_pre", "attn_in", "attn_out", "mlp_in")]
    pre, attn_in, attn_out, mlp_in = model.capture(tokens, sites).values()
    torch.testing.assert_close(attn_in, norms.get("ln_1", norms.get("input_layernorm"))(pre))
    mid = pre if model.spec.parallel else pre + attn_out
    torch.testing.assert_close(mlp_in, norms[before_mlp](mid))


def test_the_heads_mix_to_attention_before_any_post_norm(model: LanguageModel, tokens: torch.Tensor) -> None:
    h, d = model.spec.n_heads, model.spec.d_model
    z, mixed, out = model.capture(tokens, model.spec.sites("head_out.1,head_mix.1,attn_out.1")).values()
    w_o = model._forward._anatomy.taps[1]["head_mix"].module
    assert z.shape[-1] == h * model.spec.d_head == model.spec.site_width(Site("head_out", 1))
    assert mixed.shape[-1] == h * d == model.spec.site_width(Site("head_mix", 1))
    # The slow way: each head alone through the projection, less what nothing gives.
    for head in range(h):
        alone = torch.zeros_like(z)
        piece = slice(head * model.spec.d_head, (head + 1) * model.spec.d_head)
        alone[..., piece] = z[..., piece]
        expected = w_o(alone) - w_o(torch.zeros_like(z))
        torch.testing.assert_close(mixed.unflatten(-1, (h, d))[..., head, :], expected, atol=1e-5, rtol=1e-5)
    if not model.spec.family.startswith("gemma"):
        bias = w_o(torch.zeros_like(z))
        torch.testing.assert_close(mixed.unflatten(-1, (h, d)).sum(-2) + bias, out, atol=1e-5, rtol=1e-5)


def test_a_neox_of_sequential_blocks_is_told_from_a_parallel_one(tokens: torch.Tensor) -> None:
    from monoseme.testing.models import tiny_model

    sequential = tiny_model("gpt_neox", overrides={"use_parallel_residual": False})
    assert sequential.spec.parallel is False
    test_the_inputs_of_attention_and_mlp_are_normed_residuals(sequential, tokens)
    test_attention_and_mlp_add_up_to_what_a_block_adds(sequential, tokens)


def test_the_forward_stops_after_the_deepest_site(model: LanguageModel, tokens: torch.Tensor) -> None:
    ran: list[int] = []
    blocks = model._forward._anatomy.blocks
    handles = [b.register_forward_pre_hook(lambda *_, i=i: ran.append(i)) for i, b in enumerate(blocks)]
    head = model._model.get_output_embeddings()
    handles.append(head.register_forward_pre_hook(lambda *_: ran.append(-1)))
    model.capture(tokens, model.spec.sites("attn_out.1,resid_pre.0"))
    for handle in handles:
        handle.remove()
    assert ran == [0, 1]


def test_no_hook_stays_behind(model: LanguageModel, tokens: torch.Tensor) -> None:
    model.capture(tokens, model.spec.sites("head_mix.0,attn_in.1,resid_post.1"))
    left = [m for m in model._model.modules() if isinstance(m, nn.Module) and (m._forward_hooks or m._forward_pre_hooks)]
    # transformers leaves its own capturing hooks once output_hidden_states was asked for; ours have our module's name.
    ours = [h for m in left for h in [*m._forward_hooks.values(), *m._forward_pre_hooks.values()] if "monoseme" in h.__module__]
    assert ours == []


def test_captured_tensors_are_ordinary_ones_without_gradient(llama: LanguageModel, tokens: torch.Tensor) -> None:
    x = llama.capture(tokens, [Site("resid_post", 1)])[Site("resid_post", 1)]
    weight = torch.ones(x.shape[-1], requires_grad=True)
    (x @ weight).sum().backward()  # an inference tensor could not be saved for this backward
    assert not x.requires_grad
    torch.testing.assert_close(weight.grad, x.sum((0, 1)))


def test_left_padded_rows_equal_single_rows(model: LanguageModel, tokens: torch.Tensor) -> None:
    short = tokens[1:, :7]
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), short], dim=1)
    batch = torch.cat([tokens[:1], padded])
    real = torch.ones_like(batch, dtype=torch.bool)
    real[1, :4] = False
    site = Site("resid_post", 2)
    together = model.capture(batch, [site], real=real)[site]
    torch.testing.assert_close(together[1, 4:], model.capture(short, [site])[site][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together[0], model.capture(tokens[:1], [site])[site][0], atol=1e-5, rtol=1e-5)


def test_padding_on_the_right_changes_nothing_to_its_left(model: LanguageModel, tokens: torch.Tensor) -> None:
    padded = torch.cat([tokens, torch.zeros(2, 3, dtype=torch.long)], dim=1)
    real = padded != 0
    site = Site("resid_post", 2)
    torch.testing.assert_close(
        model.capture(padded, [site], real=real)[site][:, :11], model.capture(tokens, [site])[site], atol=1e-5, rtol=1e-5
    )


def test_nothing_asked_is_nothing_given(llama: LanguageModel, tokens: torch.Tensor) -> None:
    assert llama.capture(tokens, []) == {}


def test_a_site_the_model_lacks_is_refused(llama: LanguageModel, tokens: torch.Tensor) -> None:
    with pytest.raises(SiteError, match="3 blocks"):
        llama.capture(tokens, [Site("resid_post", 3)])


def test_a_context_too_long_is_refused(tiny: Callable[[str], LanguageModel]) -> None:
    with pytest.raises(ModelError, match="at most 64 tokens at once, not 65"):
        tiny("gpt2").capture(torch.ones(1, 65, dtype=torch.long), [Site("resid_post", 0)])
