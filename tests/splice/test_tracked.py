"""A run with SAEs in place: with the error term nothing moves but what asks, and gradients are what finite differences say."""

from typing import Any

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import SiteError
from monoseme.models import KINDS, LanguageModel, Site
from monoseme.splice import ablate_latents, run_with_saes, splice
from monoseme.testing.models import tiny_model

EARLY, LATE = Site("resid_post", 0), Site("mlp_out", 2)


@pytest.fixture(scope="module")
def exact() -> LanguageModel:
    """A tiny GPT-2 in float64: the norms of the other families compute in float32 whatever they are given."""
    tiny = tiny_model("gpt2")
    return LanguageModel.from_modules(tiny._model.double(), tiny.tokenizer, name="tiny, in float64")


@pytest.mark.parametrize("grad", [False, True])
def test_no_logit_changes_with_saes_at_every_site(model: LanguageModel, tokens: Tensor, sae_for: Any, grad: bool) -> None:
    sites = [Site(kind, layer) for layer in range(model.spec.n_layers) for kind in KINDS]
    saes = {site: sae_for(model.spec.site_width(site)) for site in sites}
    run = run_with_saes(model, tokens, saes, grad=grad)
    torch.testing.assert_close(run.logits, model.run(tokens).logits, atol=1e-5, rtol=0)
    assert set(run.at) == set(sites)


def test_no_gradient_elsewhere_changes(model: LanguageModel, tokens: Tensor, sae_for: Any) -> None:
    """dm/dx at every residual site is the one of the model without SAEs."""
    sites = list(model.spec.sites("resid_pre.*,resid_post.*"))
    saes = {site: sae_for(model.spec.d_model) for site in (EARLY, LATE)}
    plain = model.run(tokens, capture=sites, grad=True)
    tracked = run_with_saes(model, tokens, saes, capture=sites, grad=True)
    before = torch.autograd.grad(plain.logits[:, -1, 5].sum(), [plain.captured[site] for site in sites])
    after = torch.autograd.grad(tracked.logits[:, -1, 5].sum(), [tracked.captured[site] for site in sites])
    for expected, found in zip(before, after, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_gradients_at_codes_error_and_x_are_one_vector_read_three_ways(
    exact: LanguageModel, tokens: Tensor, sae_for: Any
) -> None:
    sae = sae_for(exact.spec.d_model).double()
    run = run_with_saes(exact, tokens, {EARLY: sae}, grad=True)
    there = run.at[EARLY]
    assert there.codes.dtype == there.x_hat.dtype == torch.float64
    torch.testing.assert_close(there.x_hat + there.error, there.x)
    of_codes, of_error, of_x = torch.autograd.grad(run.logits[:, -1, 5].sum(), [there.codes, there.error, there.x])
    torch.testing.assert_close(of_error, of_x)
    expected = torch.where(there.mask.unsqueeze(-1), of_x @ sae.w_dec.T, 0.0)  # no latent acts at the BOS token
    torch.testing.assert_close(of_codes, expected)
    assert (of_codes[:, 1:] != 0).any(-1).all()


def test_a_codes_gradient_is_what_a_small_change_of_it_does(exact: LanguageModel, tokens: Tensor, sae_for: Any) -> None:
    sae, step = sae_for(exact.spec.d_model).double(), 1e-6
    run = run_with_saes(exact, tokens, {EARLY: sae, LATE: sae}, grad=True)
    (gradient,) = torch.autograd.grad(run.logits[1, -1, 5], [run.at[EARLY].codes])
    x = run.at[EARLY].x.detach()
    moved = x.clone()
    moved[1, 4] += step * sae.w_dec[17].detach()
    change = exact.run_from(EARLY, moved, tokens=tokens)[1, -1, 5] - exact.run_from(EARLY, x, tokens=tokens)[1, -1, 5]
    assert float(change) / step == pytest.approx(float(gradient[1, 4, 17]), rel=1e-4)


def test_without_the_error_term_it_is_the_splice(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    run = run_with_saes(llama, tokens, {EARLY: sae}, error_term=False, grad=True)
    expected = llama.run(tokens, edits=[splice(sae, EARLY)], grad=True)
    torch.testing.assert_close(run.logits, expected.logits)
    (of_b,) = torch.autograd.grad(run.logits[0, -1, 5], [sae.b_dec], retain_graph=True)
    (expected_of_b,) = torch.autograd.grad(expected.logits[0, -1, 5], [sae.b_dec])
    torch.testing.assert_close(of_b, expected_of_b)
    of_codes, of_x = torch.autograd.grad(run.logits[0, -1, 5], [run.at[EARLY].codes, run.at[EARLY].x])
    assert of_codes.any()
    assert of_x[0, :-1].any()


def test_where_the_mask_is_false_nothing_is_coded(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    mask = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    there = run_with_saes(llama, tokens, {EARLY: sae}, mask=mask).at[EARLY]
    assert torch.equal(there.mask, mask)
    assert torch.equal(there.codes.any(-1), mask)
    assert torch.equal(there.error.any(-1), mask)
    assert torch.equal(there.x_hat[~mask], there.x[~mask])


def test_edits_act_on_what_later_saes_see(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    """Ablating latents of the first site moves the codes of the second, and nothing at the first."""
    saes = {EARLY: sae, LATE: sae}
    plain = run_with_saes(llama, tokens, saes)
    edit = splice(sae, EARLY, error_term=True, change=ablate_latents(range(7)))
    changed = run_with_saes(llama, tokens, saes, edits=[edit], capture=[EARLY])
    assert torch.equal(changed.at[EARLY].codes, plain.at[EARLY].codes)
    assert not torch.equal(changed.at[LATE].codes, plain.at[LATE].codes)
    assert not torch.equal(changed.captured[EARLY], changed.at[EARLY].x)


def test_an_sae_of_another_width_is_refused(llama: LanguageModel, tokens: Tensor, sae_for: Any) -> None:
    with pytest.raises(SiteError, match="D=19"):
        run_with_saes(llama, tokens, {EARLY: sae_for(19)})
