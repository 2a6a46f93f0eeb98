"""Logits of a steered generation with a cache are those of the whole text, for every family; a replay repeats its tokens."""

import pytest
import torch
from tests.steering.conftest import small_sae

from monoseme.models import LanguageModel, Sampling, Site
from monoseme.splice import Placed
from monoseme.steering import STEERING, Aim, Strength

PROMPTS = [[1, 85, 73, 70, 263, 99, 120], [1, 40], [1, 77, 31, 200]]
"""Ragged, and with what is generated longer than the sliding windows."""


@pytest.mark.parametrize("method", ["additive", "clamp"])
def test_logits_of_steered_generation_are_those_of_the_full_recompute(model: LanguageModel, method: str) -> None:
    placed = Placed(small_sae("topk", model.spec.d_model), (Site("resid_post", 1),))
    edits = STEERING.get(method)().edits(placed, [Aim(3, Strength(2.0, "raw"))])
    seen: list[list[torch.Tensor]] = [[] for _ in PROMPTS]
    done = model.generate_steered(
        PROMPTS,
        edits=edits,
        steer=lambda row, logits: seen[row].append(logits) or logits,
        sampling=Sampling(max_new_tokens=5),
    )
    for prompt, generation, cached in zip(PROMPTS, done, seen, strict=True):
        whole = model.run(torch.tensor([prompt + generation.token_ids]), edits=edits).logits[0, len(prompt) - 1 : -1]
        torch.testing.assert_close(torch.stack(cached), whole, atol=1e-4, rtol=0)  # float32: sums in another order
        assert generation.token_ids == whole.argmax(-1).tolist()


def test_a_replay_alone_repeats_its_tokens(model: LanguageModel) -> None:
    placed = Placed(small_sae("topk", model.spec.d_model), (Site("resid_post", 1),))

    def drawn() -> list[int]:
        edits = STEERING.get("clamp")().edits(placed, [Aim(3, Strength(2.0, "raw"))])
        return model.generate(PROMPTS[:1], edits=edits, max_new_tokens=8, temperature=1.3, seed=4)[0].token_ids

    assert drawn() == drawn()
