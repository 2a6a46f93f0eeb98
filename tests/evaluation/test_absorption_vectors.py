"""Absorption by ablation equals the original's code on its own truth table, made-up scores and rates."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from monoseme.evaluation._absorption_by_ablation import AblationRule, judge_ablations, rank_latents
from monoseme.evaluation._absorption_rates import letter_rates


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Tensor]:
    every = load_file(shared / "vectors" / "sae_spelling.safetensors")
    return {name: value for name, value in every.items() if name.startswith("absorption")}


def test_cosines_with_the_probe_equal_the_original(vectors: dict[str, Tensor]):
    ours = functional.normalize(vectors["absorption.W_dec"].double(), dim=1) @ functional.normalize(
        vectors["absorption.probe_dir"].double(), dim=0
    )
    torch.testing.assert_close(ours.float(), vectors["absorption.cos"], atol=1e-6, rtol=0)  # float32 sums of 12


def test_latents_are_ranked_as_in_the_original(vectors: dict[str, Tensor]):
    found = rank_latents(vectors["absorption.ig_scores"], AblationRule())
    assert torch.equal(found.latents, vectors["absorption.top10_ids"])


def test_decisions_on_200_made_up_words_equal_the_original(vectors: dict[str, Tensor]):
    codes, scores, cosines = (vectors[f"absorption.{name}"] for name in ("sae_acts", "ig_scores", "cos"))
    found = [
        bool(judge_ablations(codes[i : i + 1], scores[i : i + 1], cosines, main=main.tolist()).is_absorbed)
        for i, main in enumerate(vectors["absorption.main_ids"])
    ]
    assert found == vectors["absorption.is_absorption"].bool().tolist()
    assert 0 < sum(found) < len(found)


def test_decisions_at_every_edge_equal_the_original(vectors: dict[str, Tensor]):
    for row, expected in zip(
        vectors["absorption.edges.main_act_top_second_cos"], vectors["absorption.edges.is_absorption"], strict=True
    ):
        main_act, top, second, cosine = row
        codes, scores = torch.zeros(1, 4, dtype=torch.float64), torch.full((1, 4), 9.0, dtype=torch.float64)
        codes[0, 3], scores[0, 0], scores[0, 1] = main_act, top, second
        cosines = torch.stack([cosine, *torch.zeros(3, dtype=torch.float64)])
        found = judge_ablations(codes, scores, cosines, main=[3])
        assert bool(found.is_absorbed) == bool(expected), row


def test_rates_of_letters_equal_the_original(vectors: dict[str, Tensor]):
    letters = vectors["absorption_rate.letter"]
    for letter, expected in enumerate(vectors["absorption_rate.rate"]):
        held = letters == letter
        n_words = int(vectors["absorption_rate.num_probe_true_positives"][held][0])
        values = torch.zeros(n_words)
        values[: int(held.sum())] = vectors["absorption_rate.is_absorption"][held].float()
        portion = float(vectors["absorption_rate.sample_portion"][held][0])
        ours = letter_rates(values, torch.ones(n_words, 1), sample_portion=portion)
        torch.testing.assert_close(ours[0], expected)
