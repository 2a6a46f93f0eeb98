"""What changes nothing changes nothing, and what is said in two ways is one: in a forward and in generation with a cache."""

from collections.abc import Sequence

import pytest
import torch
from tests.steering.conftest import SITE, small_sae
from torch import Tensor

from monoseme.models import Edit, LanguageModel, Site
from monoseme.splice import Placed
from monoseme.steering import STEERING, Aim, Strength

PROMPTS = [[1, 85, 73, 70, 263, 99, 120], [1, 40], [1, 77, 31, 200]]
N_NEW = 6


def edits(method: str, place: Placed, *aims: tuple[int, float]) -> list[Edit]:
    return STEERING.get(method)().edits(place, [Aim(latent, Strength(value, "raw")) for latent, value in aims])


def recomputed(model: LanguageModel, prompt: Sequence[int], steering: Sequence[Edit]) -> list[int]:
    """Greedy tokens by a whole forward for each."""
    ids = list(prompt)
    for _ in range(N_NEW):
        ids.append(int(model.run(torch.tensor([ids]), edits=steering).logits[0, -1].argmax()))
        if ids[-1] in model.end_ids:
            break
    return ids[len(prompt) :]


def test_addition_of_nothing_is_no_steering_bit_by_bit(model: LanguageModel, tokens: Tensor) -> None:
    steering = edits("additive", Placed(small_sae("topk", model.spec.d_model), (SITE,)), (3, 0.0), (7, 0.0))
    assert torch.equal(model.run(tokens, edits=steering).logits, model.run(tokens).logits)
    assert model.generate(PROMPTS, edits=steering, max_new_tokens=N_NEW) == model.generate(PROMPTS, max_new_tokens=N_NEW)


def test_clamping_is_decoding_with_the_error_put_back(llama: LanguageModel, tokens: Tensor) -> None:
    sae = small_sae()
    x = llama.capture(tokens, [SITE])[SITE]
    after = llama.capture(tokens, [SITE], edits=edits("clamp", Placed(sae, (SITE,)), (3, 4.0), (9, -1.0)))[SITE]
    codes = sae.encode(x)
    dense = codes.dense()
    error = x - sae.decode(codes)
    dense[..., 3], dense[..., 9] = 4.0, -1.0
    wanted = sae.decode(codes.with_all(dense)) + error
    torch.testing.assert_close(after[:, 1:], wanted[:, 1:], atol=1e-5, rtol=1e-5)
    f = codes.dense()[..., [3, 9]]
    formula = x + (torch.tensor([4.0, -1.0]) - f) @ sae.W_dec[[3, 9]]
    torch.testing.assert_close(after[:, 1:], formula[:, 1:], atol=1e-5, rtol=1e-5)
    assert torch.equal(after[:, 0], x[:, 0])  # BOS keeps its own


@pytest.mark.parametrize("method", ["additive", "clamp"])
def test_steered_generation_with_a_cache_is_the_full_recompute(model: LanguageModel, method: str) -> None:
    site = Site("resid_post", 1)
    steering = edits(method, Placed(small_sae("topk", model.spec.d_model), (site,)), (3, 6.0), (7, 2.0))
    done = model.generate(PROMPTS, edits=steering, max_new_tokens=N_NEW)
    assert [g.token_ids for g in done] == [recomputed(model, p, steering) for p in PROMPTS]
    assert done != model.generate(PROMPTS, max_new_tokens=N_NEW)
