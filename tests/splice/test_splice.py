"""An SAE inside a model: nothing moves with the error term, everything is differentiable, the mask is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.splice.conftest import SmallSAE
from torch import Tensor

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import KINDS, EditContext, LanguageModel, ModelConfig, Site
from monoseme.saes import Codes
from monoseme.splice import Spliced, clamp_latents, scale_latents, splice

SITE = Site("resid_post", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_no_logit_changes_with_the_error_term(model: LanguageModel, tokens: Tensor, sae_for: Any, kind: str) -> None:
    for layer in range(model.spec.n_layers):
        site = Site(kind, layer)
        sae = sae_for(model.spec.site_width(site))
        spliced = model.run(tokens, edits=[splice(sae, site, error_term=True)])
        assert torch.equal(spliced.logits, model.run(tokens).logits)
        assert not torch.equal(model.run(tokens, edits=[splice(sae, site)]).logits, spliced.logits)


def test_no_logit_of_a_real_model_changes_with_the_error_term(shared: Path, sae_for: Any) -> None:
    for dtype in ("float32", "bfloat16"):
        model = LanguageModel.load(ModelConfig(model=str(shared / "models" / "stories260K-llama"), dtype=dtype))
        ids = torch.tensor([model.encode("Once upon a time there was a big dog.")])
        edits = [splice(sae_for(64), site, error_term=True) for site in model.spec.sites("resid_post.*,mlp_out.*,attn_out.*")]
        assert torch.equal(model.run(ids, edits=edits).logits, model.run(ids).logits)


def test_generation_goes_on_as_before_with_the_error_term(model: LanguageModel, sae_for: Any) -> None:
    prompts = [[1, 85, 73, 70, 263], [1, 40]]
    edit = splice(sae_for(model.spec.d_model), SITE, error_term=True)
    assert model.generate(prompts, edits=[edit], max_new_tokens=7) == model.generate(prompts, max_new_tokens=7)


def test_without_the_error_term_the_model_goes_on_with_the_reconstruction(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    x = llama.capture(tokens, [SITE])[SITE]
    out = llama.run(tokens, edits=[splice(sae, SITE)], capture=[SITE])
    expected = sae.decode(sae.encode(x.reshape(-1, 20))).reshape(x.shape).detach()
    expected[:, 0] = x[:, 0]  # BOS keeps its own
    torch.testing.assert_close(out.captured[SITE], expected)


def test_masked_positions_keep_their_activations(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    mask = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    x = llama.capture(tokens, [SITE])[SITE]
    for out in (
        llama.run(tokens, edits=[splice(sae, SITE)], mask=mask, capture=[SITE]),
        llama.run(tokens, edits=[splice(sae, SITE, mask=mask)], capture=[SITE]),
    ):
        changed = (out.captured[SITE] != x).any(-1)
        assert torch.equal(changed, mask)
    nowhere = llama.run(tokens, edits=[splice(sae, SITE)], mask=torch.zeros_like(mask))
    assert torch.equal(nowhere.logits, llama.run(tokens).logits)


def test_a_part_is_decoded_alone(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    seen: list[Spliced] = []
    llama.run(tokens, edits=[splice(sae, SITE, part="odd", observe=seen.append)])
    codes = seen[0].codes.dense()
    assert not codes[:, ::2].any()
    torch.testing.assert_close(codes[:, 1::2], sae.encode(seen[0].x).dense()[:, 1::2])
    torch.testing.assert_close(seen[0].x_new, codes @ sae.w_dec + sae.b_dec)
    with pytest.raises(ConfigError, match='no part "od"'):
        llama.run(tokens, edits=[splice(sae, SITE, part="od")])


def test_changes_add_to_the_activations_with_the_error_term(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    """Scaling latent 4 by 3 adds twice its activation along its decoder row, and nothing else."""
    x = llama.capture(tokens, [SITE])[SITE]
    edit = splice(sae, SITE, error_term=True, change=scale_latents({4: 3.0}))
    after = llama.run(tokens, edits=[edit], capture=[SITE]).captured[SITE]
    z = sae.encode(x.reshape(-1, 20)).dense()[:, 4].reshape(tokens.shape)
    assert (z[:, 1:] > 0).any()
    expected = 2 * z.unsqueeze(-1) * sae.w_dec[4]
    expected[:, 0] = 0
    torch.testing.assert_close(after - x, expected.detach(), atol=1e-4, rtol=1e-4)


def test_a_change_is_told_where_it_is(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    """Rows of the codes are the masked positions, row by row."""
    seen: list[tuple[int, EditContext]] = []

    def look(codes: Codes, context: EditContext) -> Codes:
        seen.append((codes.dense().shape[0], context))
        return codes

    out = llama.run(tokens, edits=[splice(sae, SITE, error_term=True, change=look)])
    n_rows, context = seen[0]
    assert n_rows == int(context.mask.sum()) == 20
    torch.testing.assert_close(out.logits, llama.run(tokens).logits, atol=1e-5, rtol=1e-5)


def test_gradients_flow_through_the_sae_and_agree_with_finite_differences(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    for error_term in (True, False):
        sae.zero_grad()
        edit = splice(sae, SITE, error_term=error_term)
        llama.run(tokens, edits=[edit], grad=True).logits[0, -1, 5].backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in sae.parameters())
        assert all(p.grad is None for p in llama._model.parameters())
    analytic, step = float(sae.b_dec.grad[3]), 1e-2
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            sae.b_dec[3] += sign * step
        values.append(float(llama.run(tokens, edits=[splice(sae, SITE)]).logits[0, -1, 5].detach()))
        with torch.no_grad():
            sae.b_dec[3] -= sign * step
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(analytic, rel=0.05, abs=1e-3)


def test_what_is_observed_is_what_happened(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    seen: list[Spliced] = []
    out = llama.run(tokens, edits=[splice(sae, SITE, change=clamp_latents({2: 5.0}), observe=seen.append)], capture=[SITE])
    (spliced,) = seen
    assert torch.equal(spliced.mask, tokens != 1)
    assert torch.equal(spliced.x, llama.capture(tokens, [SITE])[SITE][spliced.mask])
    assert torch.equal(spliced.x_new, out.captured[SITE][spliced.mask])
    assert torch.equal(spliced.x_hat, sae.decode(spliced.codes))
    assert not torch.equal(spliced.x_hat, spliced.x_new)


def test_an_sae_of_another_width_is_refused(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    with pytest.raises(SiteError, match=r"D=20, but head_mix\.1 of this model has D=80"):
        llama.run(tokens, edits=[splice(sae, Site("head_mix", 1))])


def test_a_mask_of_another_shape_is_refused(llama: LanguageModel, tokens: Tensor, sae: Any) -> None:
    with pytest.raises(SiteError, match=r"mask of \(2, 10\) for contexts of \(2, 11\)"):
        llama.run(tokens, edits=[splice(sae, SITE, mask=torch.ones(2, 10, dtype=torch.bool))])


@pytest.mark.parametrize("fact", ["reads", "learns_from"])
def test_an_sae_of_several_sites_is_refused(sae: Any, monkeypatch: pytest.MonkeyPatch, fact: str) -> None:
    monkeypatch.setattr(type(sae), fact, "layers")
    with pytest.raises(SiteError, match=r"SmallSAE has several sites; a splice at resid_post\.1"):
        splice(sae, SITE)


class RunningMean(SmallSAE):
    """Codes of the mean of what the mask has let through so far in the context."""

    learns_from = reads = "contexts"

    def encode_contexts(self, x: Tensor, mask: Tensor) -> Codes:
        kept = x.where(mask[..., None], 0.0)
        return self.encode(kept.cumsum(1) / mask.cumsum(1).clamp(min=1)[..., None])


def test_an_sae_that_reads_contexts_is_given_whole_ones_and_the_mask(llama: LanguageModel, tokens: Tensor) -> None:
    sae, mask = RunningMean(20), torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    x = llama.capture(tokens, [SITE])[SITE]
    after = llama.run(tokens, edits=[splice(sae, SITE)], mask=mask, capture=[SITE]).captured[SITE]
    for i in range(len(x)):
        chosen = x[i][mask[i]]
        means = torch.stack([chosen[: t + 1].mean(0) for t in range(len(chosen))])
        torch.testing.assert_close(after[i][mask[i]], sae.decode(sae.encode(means)).detach(), atol=1e-5, rtol=1e-4)
        assert torch.equal(after[i][~mask[i]], x[i][~mask[i]])
    assert torch.equal(llama.run(tokens, edits=[splice(sae, SITE, error_term=True)]).logits, llama.run(tokens).logits)


def test_a_generation_has_no_whole_contexts_to_give(llama: LanguageModel) -> None:
    with pytest.raises(SiteError, match="RunningMean reads whole contexts, but a generation"):
        llama.generate([[1, 85, 73]], edits=[splice(RunningMean(20), SITE)], max_new_tokens=3)


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_our_own_saes_fit(llama: LanguageModel, tokens: Tensor, architecture: str, sae_for: Callable[..., Any]) -> None:
    from monoseme.saes import build, config_from_dict

    sae = build(config_from_dict({"architecture": architecture, "d_in": 20, "n_latents": 31, "k": 3}))
    logits = llama.run(tokens).logits
    assert torch.equal(llama.run(tokens, edits=[splice(sae, SITE, error_term=True)]).logits, logits)
    changed = llama.run(tokens, edits=[splice(sae, SITE, error_term=True, change=clamp_latents({4: 9.0}))])
    assert (changed.logits - logits).abs().max() > 1e-3
