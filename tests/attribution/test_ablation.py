"""Ablation: each firing against a run made by hand, groups, baselines, path and position masks, the callback."""

import pytest
import torch
from tests.attribution.tiny import N_LATENTS, TOKENS, K, double_model, mlp_transcoder, resid_sae

from monoseme.attribution.ablation import Ablating, ablate_firings, ablate_firings_on_logits, ablate_groups, direct_path
from monoseme.attribution.baselines import Mean, Resample, Zero
from monoseme.attribution.metrics import Readout, logit_difference
from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import Site
from monoseme.models.edit import replacement
from monoseme.splice import Placed

MODEL = double_model()
WIDTH = MODEL.spec.d_model
SAE = resid_sae(1, width=WIDTH)
READOUT = Readout(TOKENS, torch.tensor([5, 4]), logit_difference(torch.tensor([3, 17]), torch.tensor([11, 5])))
AT = torch.zeros(2, 6, dtype=torch.bool)
AT[0, 2] = AT[0, 4] = AT[1, 3] = True


def metric_with(site: Site, x: torch.Tensor) -> torch.Tensor:
    """The readout's metric when the tensor at a site is x."""
    logits = MODEL.run(TOKENS, edits=[replacement(site, x)]).logits
    return READOUT.metric(logits[torch.arange(2), READOUT.answer_from])


def clean(placed: Placed) -> tuple[torch.Tensor, torch.Tensor]:
    """What is at the output site, and the dense codes at every position."""
    captured = MODEL.capture(TOKENS, [*placed.inputs, *placed.outputs])
    return captured[placed.outputs[0]], placed.sae.encode(captured[placed.inputs[0]]).dense()


@pytest.mark.parametrize("placed", [SAE, mlp_transcoder(1, width=WIDTH)], ids=["sae", "transcoder"])
def test_each_firing_latent_is_taken_away_by_itself(placed: Placed):
    found = ablate_firings(MODEL, placed, READOUT, at=AT, how=Ablating(rows_at_once=4))
    x, codes = clean(placed)
    base = metric_with(placed.outputs[0], x)
    assert len(found.latent) == int((codes[AT] != 0).sum()) > K
    for prompt, position, latent, code, effect in zip(*found, strict=True):
        ablated = x.clone()
        ablated[prompt, position] -= codes[prompt, position, latent] * placed.sae.W_dec[latent]
        assert code == pytest.approx(float(codes[prompt, position, latent]))
        assert effect == pytest.approx(float((metric_with(placed.outputs[0], ablated) - base)[prompt]), abs=1e-9)


def test_batches_do_not_change_effects():
    alone = ablate_firings(MODEL, SAE, READOUT, how=Ablating(rows_at_once=1))
    together = ablate_firings(MODEL, SAE, READOUT, how=Ablating(rows_at_once=50))
    assert torch.allclose(alone.effect, together.effect, atol=1e-12)


def test_special_tokens_are_never_ablated():
    assert bool((ablate_firings(MODEL, SAE, READOUT).position > 0).all())


def test_a_group_of_all_latents_leaves_the_decoder_bias_and_the_error():
    x, codes = clean(SAE)
    ablated = x.clone()
    ablated[AT] -= codes[AT] @ SAE.sae.W_dec
    expected = metric_with(SAE.outputs[0], ablated) - metric_with(SAE.outputs[0], x)
    found = ablate_groups(MODEL, SAE, READOUT, [range(N_LATENTS), []], at=AT)
    assert torch.allclose(found[:, 0], expected, atol=1e-9)
    assert not found[:, 1].any()


def test_a_mean_moves_latents_of_a_group_that_do_not_fire():
    latent = int((clean(SAE)[1][AT] == 0).all(0).nonzero()[0])
    mean = torch.zeros(N_LATENTS)
    mean[latent] = 0.7
    x, _ = clean(SAE)
    moved = x.clone()
    moved[AT] += mean[latent].double() * SAE.sae.W_dec[latent]
    expected = metric_with(SAE.outputs[0], moved) - metric_with(SAE.outputs[0], x)
    assert torch.allclose(ablate_groups(MODEL, SAE, READOUT, [[latent]], at=AT, baseline=Mean(mean))[:, 0], expected, atol=1e-9)
    assert not ablate_groups(MODEL, SAE, READOUT, [[latent]], at=AT, baseline=Zero()).any()


def test_resampling_takes_the_codes_of_the_other_prompt():
    one_each = torch.zeros(2, 6, dtype=torch.bool)
    one_each[0, 2] = one_each[1, 3] = True
    x, codes = clean(SAE)
    swapped = x.clone()
    swapped[0, 2] += (codes[1, 3] - codes[0, 2]) @ SAE.sae.W_dec
    swapped[1, 3] += (codes[0, 2] - codes[1, 3]) @ SAE.sae.W_dec
    expected = metric_with(SAE.outputs[0], swapped) - metric_with(SAE.outputs[0], x)
    found = ablate_groups(MODEL, SAE, READOUT, [range(N_LATENTS)], at=one_each, baseline=Resample(seed=3))
    assert torch.allclose(found[:, 0], expected, atol=1e-9)


def test_resampling_draws_from_its_seed_and_needs_another_prompt():
    first, second = (ablate_firings(MODEL, SAE, READOUT, baseline=Resample(seed=5)).effect for _ in range(2))
    assert torch.equal(first, second)
    with pytest.raises(ConfigError, match="give several prompts"):
        ablate_firings(MODEL, SAE, READOUT.rows(torch.tensor([0])), baseline=Resample())


def test_with_all_other_paths_held_only_the_answers_own_position_matters():
    found = ablate_firings(MODEL, SAE, READOUT, how=Ablating(held=direct_path(MODEL, SAE.outputs[0])))
    at_answer = found.position == READOUT.answer_from[found.prompt]
    assert not found.effect[~at_answer].any()
    assert bool((found.effect[at_answer].abs() > 1e-6).all())


def test_a_path_may_be_held_at_some_positions_only():
    late = Site("attn_out", 2)
    nowhere, everywhere = torch.zeros(2, 6, dtype=torch.bool), torch.ones(2, 6, dtype=torch.bool)
    plain = ablate_firings(MODEL, SAE, READOUT).effect
    assert torch.allclose(ablate_firings(MODEL, SAE, READOUT, how=Ablating(held={late: nowhere})).effect, plain, atol=1e-12)
    held = ablate_firings(MODEL, SAE, READOUT, how=Ablating(held={late: everywhere})).effect
    assert torch.equal(held, ablate_firings(MODEL, SAE, READOUT, how=Ablating(held={late: None})).effect)
    assert not torch.allclose(held, plain, atol=1e-6)


def test_deltas_can_be_changed_before_they_are_added():
    seen: list[torch.Tensor] = []

    def half(delta: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        seen.append(prompt)
        return delta * 0.0

    found = ablate_firings(MODEL, SAE, READOUT, at=AT, how=Ablating(change=half))
    assert torch.equal(torch.cat(seen), found.prompt)
    assert torch.allclose(found.effect, torch.zeros_like(found.effect), atol=1e-12)


def test_total_effects_on_logits_make_up_the_effect_on_their_difference():
    one = Readout(TOKENS[:1], torch.tensor([5]), logit_difference(torch.tensor([3]), torch.tensor([11])))
    each = ablate_firings_on_logits(MODEL, SAE, one, tokens=torch.tensor([3, 11]))
    assert torch.allclose(each.effect[:, 0] - each.effect[:, 1], ablate_firings(MODEL, SAE, one).effect, atol=1e-10)


def test_latents_that_are_not_there_and_sites_before_are_refused():
    with pytest.raises(ConfigError, match="no latent 31"):
        ablate_groups(MODEL, SAE, READOUT, [[31]])
    with pytest.raises(ConfigError, match="twice"):
        ablate_groups(MODEL, SAE, READOUT, [[2, 2]])
    with pytest.raises(SiteError, match="lies before"):
        ablate_firings(MODEL, SAE, READOUT, how=Ablating(held={Site("attn_out", 0): None}))
    with pytest.raises(ConfigError, match="does not fit"):
        ablate_firings(MODEL, SAE, READOUT, at=AT[:1])
