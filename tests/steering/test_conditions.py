"""Conditions mark what they say, compose, and mark the same token by token as in a whole forward."""

from collections.abc import Sequence

import pytest
import torch
from tests.steering.conftest import SITE, small_sae
from tests.steering.test_identities import N_NEW, PROMPTS, recomputed
from torch import Tensor

from monoseme.core.errors import SiteError
from monoseme.models import Edit, EditContext, LanguageModel, Site
from monoseme.splice import Placed
from monoseme.steering import (
    STEERING,
    Aim,
    AtPositions,
    AtTokens,
    Condition,
    FromPosition,
    OnlyGenerated,
    OnlyPrompt,
    Strength,
    WhileFires,
)

LATENT = 4
"""Fires on some of the tokens, as the first test says."""


def steering(condition: Condition) -> list[Edit]:
    place = Placed(small_sae(), (SITE,))
    return STEERING.get("additive")().edits(place, [Aim(3, Strength(6.0, "raw"))], conditions=condition)


def acts(model: LanguageModel, tokens: Tensor, condition: Condition) -> Tensor:
    """Where the activations are changed."""
    before, after = (model.capture(tokens, [SITE], edits=edits)[SITE] for edits in ([], steering(condition)))
    return (before != after).any(-1)


def fires(model: LanguageModel, tokens: Tensor, site: Site = SITE) -> Tensor:
    return (small_sae().encode(model.capture(tokens, [site])[site]).dense()[..., LATENT] > 0) & model.editable(tokens)


def test_each_condition_marks_what_it_says(llama: LanguageModel, tokens: Tensor) -> None:
    may = llama.editable(tokens)
    places = torch.arange(11).expand(2, -1)
    fired = fires(llama, tokens)
    assert 2 < fired.sum() < may.sum() - 2
    other = Site("mlp_out", 0)
    cases: list[tuple[Condition, Tensor]] = [
        (FromPosition(4), may & (places >= 4)),
        (AtPositions((2, 7)), may & ((places == 2) | (places == 7))),
        (AtTokens((int(tokens[0, 3]), int(tokens[1, 5]))), may & ((tokens == tokens[0, 3]) | (tokens == tokens[1, 5]))),
        (OnlyPrompt(), may),
        (OnlyGenerated(), torch.zeros_like(may)),
        (WhileFires(small_sae(), SITE, LATENT), fired),
        (WhileFires(small_sae(), SITE, LATENT, onwards=True), fired.cummax(1).values & may),
        (WhileFires(small_sae(), other, LATENT), fires(llama, tokens, other)),
        (FromPosition(4) & ~WhileFires(small_sae(), SITE, LATENT), may & (places >= 4) & ~fired),
        (AtPositions((2,)) | WhileFires(small_sae(), SITE, LATENT), (may & (places == 2)) | fired),
    ]
    for condition, wanted in cases:
        assert torch.equal(acts(llama, tokens, condition), wanted), condition


def test_a_threshold_is_passed_strictly(llama: LanguageModel, tokens: Tensor) -> None:
    values = small_sae().encode(llama.capture(tokens, [SITE])[SITE]).dense()[..., LATENT]
    cut = float(values[fires(llama, tokens)].median())
    assert torch.equal(acts(llama, tokens, WhileFires(small_sae(), SITE, LATENT, above=cut)), values > cut)


@pytest.mark.parametrize(
    "condition",
    [
        FromPosition(5),
        AtTokens((263, 40)),
        WhileFires(small_sae(), SITE, LATENT),
        WhileFires(small_sae(), Site("resid_pre", 1), LATENT, onwards=True) & ~AtPositions((3,)),
        WhileFires(small_sae("tfa"), SITE, 16),
    ],
    ids=["from", "tokens", "fires", "onwards", "tfa"],
)
def test_a_generation_meets_the_conditions_of_the_whole_text(llama: LanguageModel, condition: Condition) -> None:
    edits = steering(condition)
    done = llama.generate(PROMPTS, edits=edits, max_new_tokens=N_NEW)
    assert [g.token_ids for g in done] == [recomputed(llama, p, edits) for p in PROMPTS]


def test_prompt_and_generated_tokens_are_told_apart(llama: LanguageModel) -> None:
    seen: list[Tensor] = []

    class Note:
        site = SITE

        def __call__(self, x: Tensor, context: EditContext) -> Tensor:
            seen.append(x)
            return x

    def streams(edits: Sequence[Edit]) -> list[Tensor]:
        seen.clear()
        llama.generate(PROMPTS[:1], edits=[*edits, Note()], max_new_tokens=3)
        return list(seen)

    plain, prompt, generated = (streams(edits) for edits in ([], steering(OnlyPrompt()), steering(OnlyGenerated())))
    assert not torch.equal(plain[0], prompt[0])
    assert torch.equal(plain[0], generated[0])
    assert not torch.equal(plain[1], generated[1])


def test_a_latent_behind_the_place_of_steering_cannot_decide(llama: LanguageModel, tokens: Tensor) -> None:
    late = steering(WhileFires(small_sae(), Site("resid_post", 2), LATENT))
    with pytest.raises(SiteError, match=r"known only at resid_post\.2"):
        llama.run(tokens, edits=late)


def test_a_tfa_is_shown_everything_though_it_changes_little(llama: LanguageModel) -> None:
    """Positions that a condition leaves out are still part of the context that predicts."""
    place = Placed(small_sae("tfa"), (SITE,))
    edits = STEERING.get("clamp")().edits(place, [Aim(3, Strength(12.0, "raw"))], conditions=FromPosition(3))
    done = llama.generate(PROMPTS, edits=edits, max_new_tokens=N_NEW)
    assert [g.token_ids for g in done] == [recomputed(llama, p, edits) for p in PROMPTS]
