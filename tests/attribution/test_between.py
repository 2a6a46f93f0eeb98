"""Latent to latent between two sites, by ablation; what the edges of a graph say of the same pairs."""

import pytest
import torch
from tests.attribution.tiny import N_LATENTS, TOKENS, double_model, resid_sae

from monoseme.attribution.between import effects_between
from monoseme.core.errors import SiteError
from monoseme.models.edit import replacement

MODEL = double_model()
EARLIER, LATER = (resid_sae(layer, width=MODEL.spec.d_model) for layer in (0, 2))


def test_each_pair_is_what_two_runs_by_hand_differ_by():
    at = torch.zeros(2, 6, dtype=torch.bool)
    at[1, 3] = True
    found = effects_between(MODEL, EARLIER, LATER, TOKENS, at=at, most=6 * N_LATENTS, rows_at_once=2)
    (first,), (second,) = EARLIER.sites, LATER.sites
    clean = MODEL.capture(TOKENS, [first, second])
    codes = EARLIER.sae.encode(clean[first]).dense()
    n_pairs = 0
    for latent in codes[1, 3].nonzero().squeeze(1).tolist():
        x = clean[first].clone()
        x[1, 3] -= codes[1, 3, latent] * EARLIER.sae.W_dec[latent]
        ablated = MODEL.run(TOKENS, edits=[replacement(first, x)], capture=[second]).captured[second]
        expected = (LATER.sae.encode(ablated).dense() - LATER.sae.encode(clean[second]).dense())[1]
        ours = found.latent == latent
        made = torch.zeros(6, N_LATENTS, dtype=torch.float64)
        made[found.later_position[ours], found.later_latent[ours]] = found.effect[ours]
        assert torch.allclose(made, expected, atol=1e-9)
        assert bool((found.effect[ours].abs().diff() <= 1e-12).all()), "the largest first"
        n_pairs += int(ours.sum())
    assert n_pairs == len(found.effect) > 0
    assert bool((found.later_position >= 3).all()), "nothing moves what came before"


def test_only_the_largest_changes_are_kept():
    everything = effects_between(MODEL, EARLIER, LATER, TOKENS, most=200)
    some = effects_between(MODEL, EARLIER, LATER, TOKENS, most=2)
    assert len(some.effect) < len(everything.effect)
    assert float(some.effect.abs().max()) == pytest.approx(float(everything.effect.abs().max()))


def test_the_later_site_must_be_later():
    with pytest.raises(SiteError, match="is not behind"):
        effects_between(MODEL, LATER, EARLIER, TOKENS)
