"""A real trained model: its published numbers come out of our forwards."""

import json
from pathlib import Path

import pytest
import torch

from monoseme.models import FunctionEdit, LanguageModel, Site


@pytest.fixture(scope="module")
def stories(shared: Path) -> LanguageModel:
    """stories260K as Llama: 5 layers, D = 64."""
    return LanguageModel.load(str(shared / "models" / "stories260K-llama"))


def test_its_sizes_and_special_tokens_are_known(stories: LanguageModel) -> None:
    spec = stories.spec
    assert (spec.family, spec.n_layers, spec.d_model, spec.n_heads, spec.d_head) == ("llama", 5, 64, 8, 8)
    assert (spec.vocab_size, spec.n_positions, spec.norm) == (512, 512, "rms")
    assert stories.special_ids == {0, 1, 2}
    assert stories.bos_id == 1


def test_greedy_text_is_a_story(stories: LanguageModel) -> None:
    (done,) = stories.generate(["Once upon a time"], max_new_tokens=30)
    assert done.text.startswith(", there was a little girl named Lily. She loved to play outside in the park.")


@pytest.mark.slow
def test_cross_entropy_is_the_published_one(stories: LanguageModel, shared: Path) -> None:
    """1.733 nats per token on 150 TinyStories; which tokens were counted at cut ends is not said, so 1 % is allowed."""
    rows = json.loads((shared / "corpora" / "tinystories" / "tinystories_1000.json").read_text(encoding="utf-8"))
    total, count = 0.0, 0
    for text in rows[:150]:
        ids = torch.tensor([stories.encode(text)[:512]])
        logits = stories.run(ids).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        count += ids.shape[1] - 1
    assert total / count == pytest.approx(1.733, rel=0.01)


def test_ragged_prompts_generate_as_they_do_alone_with_and_without_edits(stories: LanguageModel) -> None:
    prompts = ["Once upon a time", "Lily", "The big dog ran to the"]
    quiet = FunctionEdit(Site("mlp_out", 2), lambda x, context: x * (1 - 0.5 * context.mask.unsqueeze(-1).to(x.dtype)))
    for edits in ((), (quiet,)):
        together = stories.generate(prompts, max_new_tokens=20, edits=edits)
        assert together == [stories.generate([p], max_new_tokens=20, edits=edits)[0] for p in prompts]


def test_logits_follow_from_any_residual(stories: LanguageModel) -> None:
    ids = torch.tensor([stories.encode("Tim had a red ball. He")])
    sites = stories.spec.sites("resid_pre.*,resid_post.*")
    out = stories.run(ids, capture=sites)
    for site in sites:
        assert torch.equal(stories.run_from(site, out.captured[site], tokens=ids), out.logits)
