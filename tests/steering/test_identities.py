"""What changes nothing changes nothing, and what is said in two ways is one: in a forward and in generation with a cache."""

from collections.abc import Sequence

import torch
from tests.steering.conftest import SITE, small_sae
from torch import Tensor

from monoseme.models import Edit, FunctionEdit, LanguageModel, Site
from monoseme.splice import Placed
from monoseme.steering import STEERING, Aim, Strength

PROMPTS = [[1, 85, 73, 70, 263, 99, 120], [1, 40], [1, 77, 31, 200]]
N_NEW = 4


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


def test_clamping_is_decoding_with_the_error_put_back(llama: LanguageModel, tokens: Tensor) -> None:
    sae = small_sae()
    x = llama.capture(tokens, [SITE])[SITE]
    after = llama.capture(tokens, [SITE], edits=edits("clamp", Placed(sae, (SITE,)), (4, 4.0), (15, -1.0)))[SITE]
    codes = sae.encode(x)
    dense = codes.dense()
    error = x - sae.decode(codes)
    assert (dense[:, 1:, [4, 15]] > 0).any()
    dense[..., 4], dense[..., 15] = 4.0, -1.0
    wanted = sae.decode(codes.with_all(dense)) + error
    torch.testing.assert_close(after[:, 1:], wanted[:, 1:], atol=1e-5, rtol=1e-5)
    f = codes.dense()[..., [4, 15]]
    formula = x + (torch.tensor([4.0, -1.0]) - f) @ sae.W_dec[[4, 15]]
    torch.testing.assert_close(after[:, 1:], formula[:, 1:], atol=1e-5, rtol=1e-5)
    assert torch.equal(after[:, 0], x[:, 0])  # BOS keeps its own


def test_steered_generation_with_a_cache_is_the_full_recompute(model: LanguageModel) -> None:
    place = Placed(small_sae("topk", model.spec.d_model), (SITE,))
    steering = [*edits("additive", place, (3, 6.0), (7, 2.0)), *edits("clamp", place, (4, 5.0))]
    done = model.generate(PROMPTS, edits=steering, max_new_tokens=N_NEW)
    assert [g.token_ids for g in done] == [recomputed(model, p, steering) for p in PROMPTS]
    assert done != model.generate(PROMPTS, max_new_tokens=N_NEW)


def test_cached_logits_are_those_of_the_whole_text_and_a_replay_repeats_its_tokens(llama: LanguageModel) -> None:
    place = Placed(small_sae(), (SITE,))
    steering = [*edits("h_bias", place, (4, 9.0)), *edits("projection_cap", place, (15, 1.0))]
    for edits_of in ([], steering):
        seen: list[Tensor] = []
        note = FunctionEdit(Site("resid_post", 2), lambda x, _, seen=seen: seen.append(x[:, -1]) or x)
        (done,) = llama.generate(PROMPTS[:1], edits=[*edits_of, note], max_new_tokens=N_NEW, temperature=1.0, seed=3)
        whole = torch.tensor([[*done.prompt_ids, *done.token_ids]])
        logits = llama.run(whole, edits=edits_of).logits[0, len(done.prompt_ids) - 1 : -1]
        torch.testing.assert_close(llama.unembed(torch.cat(seen)), logits, atol=1e-4, rtol=0)
        assert llama.generate(PROMPTS[:1], edits=edits_of, max_new_tokens=N_NEW, temperature=1.0, seed=3) == [done]
