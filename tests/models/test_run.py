"""Runs with edits, from a site, with gradients."""

import pytest
import torch

from monoseme.core.errors import SiteError
from monoseme.models import KINDS, EditContext, FunctionEdit, LanguageModel, Site, replacement


def _nothing(site: Site) -> FunctionEdit:
    """Touches everything and changes nothing: a new tensor with the same bits."""
    return FunctionEdit(site, lambda x, _: x.clone())


def test_logits_are_transformers_own(model: LanguageModel, tokens: torch.Tensor) -> None:
    with torch.no_grad():
        expected = model._model(input_ids=tokens).logits
    assert torch.equal(model.run(tokens).logits, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_that_changes_nothing_moves_no_logit(model: LanguageModel, tokens: torch.Tensor, kind: str) -> None:
    assert torch.equal(model.run(tokens, edits=[_nothing(Site(kind, 1))]).logits, model.run(tokens).logits)


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_reaches_what_comes_after_it(model: LanguageModel, tokens: torch.Tensor, kind: str) -> None:
    """Zeros at a site: the sum identity then holds without that part, and the logits move."""
    site = Site(kind, 1)
    out = model.run(tokens, edits=[FunctionEdit(site, lambda x, _: torch.zeros_like(x))], capture=[site])
    assert not out.captured[site].any()
    assert (out.logits - model.run(tokens).logits).abs().max() > 1e-3


def test_edits_at_one_site_act_in_order_and_are_seen_by_capture(llama: LanguageModel, tokens: torch.Tensor) -> None:
    site = Site("mlp_out", 1)
    double, add = FunctionEdit(site, lambda x, _: 2 * x), FunctionEdit(site, lambda x, _: x + 1)
    x = llama.capture(tokens, [site])[site]
    torch.testing.assert_close(llama.run(tokens, edits=[double, add], capture=[site]).captured[site], 2 * x + 1)
    torch.testing.assert_close(llama.run(tokens, edits=[add, double], capture=[site]).captured[site], 2 * x + 2)


def test_changing_the_mix_of_heads_moves_attention_by_their_sum(model: LanguageModel, tokens: torch.Tensor) -> None:
    """Dropping head 2 after W_O is dropping it before W_O."""
    d_head, d = model.spec.d_head, model.spec.d_model

    def without(width: int) -> FunctionEdit:
        def drop(x: torch.Tensor, _: EditContext) -> torch.Tensor:
            x = x.clone()
            x[..., 2 * width : 3 * width] = 0
            return x

        return FunctionEdit(Site("head_out" if width == d_head else "head_mix", 0), drop)

    before = model.run(tokens, edits=[without(d_head)]).logits
    after = model.run(tokens, edits=[without(d)]).logits
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert (before - model.run(tokens).logits).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_running_from_a_site_gives_the_logits_of_the_whole(model: LanguageModel, tokens: torch.Tensor, kind: str) -> None:
    sites = model.spec.sites(f"{kind}.*")
    out = model.run(tokens, capture=sites)
    for site in sites:
        assert torch.equal(model.run_from(site, out.captured[site], tokens=tokens), out.logits)


def test_running_from_the_residual_stream_needs_no_right_tokens(model: LanguageModel, tokens: torch.Tensor) -> None:
    """The blocks before are skipped, and layer 0 begins from embeddings of the caller's choice."""
    for site in model.spec.sites("resid_pre.0,resid_pre.2,resid_post.0,resid_post.2"):
        out = model.run(tokens, capture=[site])
        assert torch.equal(model.run_from(site, out.captured[site], tokens=torch.zeros_like(tokens)), out.logits)


def test_blocks_are_as_before_after_some_were_skipped(model: LanguageModel, tokens: torch.Tensor) -> None:
    before = model.run(tokens).logits
    model.run_from(Site("resid_post", 2), torch.zeros(2, 11, model.spec.d_model), tokens=tokens)
    assert torch.equal(model.run(tokens).logits, before)
    assert all("forward" not in vars(block) for block in model._forward._anatomy.blocks)


def test_running_from_a_site_minds_padding(model: LanguageModel, tokens: torch.Tensor) -> None:
    real = torch.ones_like(tokens, dtype=torch.bool)
    real[1, :4] = False
    for site in model.spec.sites("resid_pre.0,resid_post.1,mlp_out.1"):
        out = model.run(tokens, real=real, capture=[site])
        logits = model.run_from(site, out.captured[site], tokens=tokens, real=real)
        torch.testing.assert_close(logits[real], out.logits[real], atol=1e-6, rtol=1e-6)


def test_running_from_a_site_takes_edits_after_it_and_none_before(llama: LanguageModel, tokens: torch.Tensor) -> None:
    x = llama.capture(tokens, [Site("resid_post", 0)])[Site("resid_post", 0)]
    later = FunctionEdit(Site("mlp_out", 1), lambda x, _: 3 * x)
    expected = llama.run(tokens, edits=[later]).logits
    assert torch.equal(llama.run_from(Site("resid_post", 0), x, tokens=tokens, edits=[later]), expected)
    with pytest.raises(SiteError, match="could not act"):
        llama.run_from(Site("resid_post", 0), x, tokens=tokens, edits=[_nothing(Site("mlp_out", 0))])


class _Cut:
    site = Site("mlp_out", 1)

    def __call__(self, x: torch.Tensor, context: object) -> torch.Tensor:
        return x[:, :-1]


def test_a_tensor_of_the_wrong_shape_is_refused(llama: LanguageModel, tokens: torch.Tensor) -> None:
    with pytest.raises(SiteError, match=r"\(2, 11, 20\)"):
        llama.run_from(Site("resid_post", 0), torch.zeros(2, 11, 19), tokens=tokens)
    with pytest.raises(SiteError, match=r"mlp_out.1 returned the shape"):
        llama.run(tokens, edits=[_Cut()])  # a user's own edit: ours are checked by their types before
    with pytest.raises(SiteError, match="float64"):
        llama.run(tokens, edits=[FunctionEdit(Site("mlp_out", 1), lambda x, _: x.double())])


def test_gradients_reach_captured_tensors_and_agree_with_finite_differences(llama: LanguageModel, tokens: torch.Tensor) -> None:
    site = Site("resid_post", 1)
    out = llama.run(tokens, capture=[site], grad=True)
    (gradient,) = torch.autograd.grad(out.logits[0, -1, 5], out.captured[site])
    x, step = out.captured[site].detach(), 1e-2
    nudge = torch.zeros_like(x)
    nudge[0, 4, 3] = step
    up, down = (llama.run_from(site, x + sign * nudge, tokens=tokens)[0, -1, 5] for sign in (1, -1))
    assert float((up - down) / (2 * step)) == pytest.approx(float(gradient[0, 4, 3]), rel=0.02, abs=1e-4)
    assert not llama.run(tokens, capture=[site]).logits.requires_grad


def test_gradients_reach_what_a_run_starts_from(model: LanguageModel, tokens: torch.Tensor) -> None:
    x = model.capture(tokens, [Site("resid_post", 1)])[Site("resid_post", 1)].requires_grad_()
    model.run_from(Site("resid_post", 1), x, tokens=tokens)[0, 3].sum().backward()
    assert x.grad is not None
    assert x.grad[0, :4].abs().sum() > 0
    assert not x.grad[0, 4:].any()  # nothing after position 3 has a say in it
    assert not x.grad[1].any()


def test_an_edit_is_told_where_it_is(llama: LanguageModel, tokens: torch.Tensor) -> None:
    seen: list[EditContext] = []
    notes: list[int] = []

    def look(x: torch.Tensor, context: EditContext) -> torch.Tensor:
        seen.append(context)
        context.scratch["visits"] = context.scratch.get("visits", 0) + 1
        notes.append(context.scratch["visits"])
        return x

    tokens = tokens.clone()
    tokens[1, :3] = 0
    tokens[1, 3] = 1
    real = tokens != 0
    llama.run(tokens, real=real, edits=[FunctionEdit(Site("resid_pre", 0), look), FunctionEdit(Site("mlp_in", 2), look)])
    context = seen[0]
    assert seen[1] is context
    assert notes == [1, 2]
    assert torch.equal(context.tokens, tokens)
    assert context.positions.tolist() == [list(range(11)), [0, 0, 0, *range(8)]]
    assert torch.equal(context.mask, real & (tokens != 1))  # neither padding nor BOS
    assert context.row.tolist() == [0, 1]
    assert context.is_prompt.all()
    assert len(context.state) == 2


def test_a_mask_given_is_the_mask_seen(llama: LanguageModel, tokens: torch.Tensor) -> None:
    mask = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    seen: list[torch.Tensor] = []

    def look(x: torch.Tensor, context: EditContext) -> torch.Tensor:
        seen.append(context.mask)
        return x

    llama.run(tokens, mask=mask, edits=[FunctionEdit(Site("resid_pre", 0), look)])
    assert torch.equal(seen[0], mask)


def test_the_mask_of_edits_is_hidden_from_attention_never(llama: LanguageModel, tokens: torch.Tensor) -> None:
    """A mask without BOS must not blind the model to BOS."""
    mask = tokens != 1
    assert torch.equal(llama.run(tokens, mask=mask).logits, llama.run(tokens).logits)


def test_a_replacement_acts_everywhere(llama: LanguageModel, tokens: torch.Tensor) -> None:
    x = torch.full((2, 11, 20), 0.5)
    site = Site("attn_out", 0)
    out = llama.run(tokens, edits=[replacement(site, x)], mask=torch.zeros_like(tokens, dtype=torch.bool), capture=[site])
    assert torch.equal(out.captured[site], x)


def test_the_embedding_begins_the_residual(model: LanguageModel, tokens: torch.Tensor) -> None:
    before = model.capture(tokens, [Site("resid_pre", 0)])[Site("resid_pre", 0)]
    rows = model.embedding()[tokens]
    assert torch.nn.functional.cosine_similarity(rows.double(), before.double(), dim=-1).min() > 0.5
    assert rows.shape == before.shape


def test_unembedding_the_last_residual_gives_the_logits(model: LanguageModel, tokens: torch.Tensor) -> None:
    last = Site("resid_post", model.spec.n_layers - 1)
    out = model.run(tokens, capture=[last])
    torch.testing.assert_close(model.unembed(out.captured[last]), out.logits)


def test_norm_scale_and_unembedding_make_the_logits_by_hand(model: LanguageModel, tokens: torch.Tensor) -> None:
    """In float64: centre (layer norm only), divide by the root mean square, scale, unembed, cap."""
    last = Site("resid_post", model.spec.n_layers - 1)
    out = model.run(tokens, capture=[last])
    x = out.captured[last].double()
    norm = model._forward._anatomy.final_norm
    bias = 0.0
    if model.spec.norm == "layer":
        x = x - x.mean(-1, keepdim=True)
        bias = norm.bias.double()
    x = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    logits = (x * model.final_norm_scale().double() + bias) @ model.unembedding().double()
    if model.spec.logit_softcap is not None:
        logits = model.spec.logit_softcap * (logits / model.spec.logit_softcap).tanh()
    torch.testing.assert_close(logits.float(), out.logits, atol=2e-4, rtol=2e-4)
