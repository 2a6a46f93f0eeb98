"""Absorption as it was first defined: the latent whose ablation hurts the answer most stands in for the letter's own latents.

A latent that should be on for every word with S is silent for some words, and a latent of the word itself carries the letter
there. A word counts as absorbed where the letter's own latents (*main*) are silent, one latent clearly does most for the answer,
and that latent points along the letter's probe. Where the main latents still fire, and yet another latent passes the same rules,
the word is *partly* absorbed; the original does not count it, and neither does `is_absorbed`.

Letters: N words, F latents, R ranks.
Source: Chanin et al. 2024, arXiv:2409.14507, section 5, and `FeatureAbsorptionCalculator` of its code (sae-spelling).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from monoseme.core.errors import ConfigError, UndefinedMetricError
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


@dataclass(frozen=True, kw_only=True)
class AblationRule:
    """Thresholds of the original definition."""

    silent: float = 1e-8
    """A main latent is silent below it (unit of the codes); a negative code, too, counts as silent."""
    highest_score: float = 0.0
    """The most negative score may be at most this (logits)."""
    least_lead: float = 1.0
    """By how much the size of the first score exceeds that of the second, at least (logits)."""
    least_cosine: float = 0.025
    """Between the first latent's decoder direction and the probe, at least."""
    rank_by: Literal["score", "size"] = "score"
    """What is first: the most negative score, or the largest in size, as one later version of the original's code has it."""
    n_ranked: int = 10
    """Latents whose scores are kept for each word, at least 2 (count)."""

    def __post_init__(self) -> None:
        if self.n_ranked < 2:
            raise ConfigError(f"n_ranked is {self.n_ranked}; it must be at least 2: the first is compared with the second")


class Ranked(NamedTuple):
    """The latents whose ablation changes the answer most, word by word."""

    latents: Int[Tensor, "N R"]
    scores: Float[Tensor, "N R"]
    """Change of the metric when the latent is ablated; float64."""


class AblationVerdict(NamedTuple):
    """What the rules say of each word."""

    is_absorbed: Bool[Tensor, " N"]
    is_partial: Bool[Tensor, " N"]
    """The main latents fire, but a latent that is none of them passes all other rules."""
    ranked: Ranked


def rank_latents(scores: Float[Tensor, "N F"], rule: AblationRule) -> Ranked:
    """The first R latents of each word, min(n_ranked, F) of them; among equals, the one of the lower number comes first."""
    key = scores if rule.rank_by == "score" else -scores.abs()
    latents = key.argsort(dim=1, stable=True)[:, : rule.n_ranked]
    return Ranked(latents, scores.gather(1, latents).double())


def judge_ablations(
    codes: Float[Tensor, "N F"],
    scores: Float[Tensor, "N F"],
    cosines: Float[Tensor, " F"],
    *,
    main: Sequence[int],
    rule: AblationRule | None = None,
) -> AblationVerdict:
    """Which words are absorbed. `scores` are changes of the answer's metric when a latent is ablated, `cosines` those of the
    decoder directions with the probe.

    Raises UndefinedMetricError without a main latent, or with a single latent: there is then nothing to hold the first against.
    """
    rule = rule or AblationRule()
    _require(main, n_latents=scores.shape[1])
    ranked = rank_latents(scores, rule)
    first, first_score, second_score = ranked.latents[:, 0], ranked.scores[:, 0], ranked.scores[:, 1]
    stands_out = (
        (first_score <= rule.highest_score)
        & (first_score.abs() - second_score.abs() >= rule.least_lead)
        & (cosines.double()[first] >= rule.least_cosine)
    )
    of_letter = torch.tensor(list(main), device=codes.device)
    is_silent = (codes[:, of_letter].double() < rule.silent).all(dim=1)
    is_main = torch.isin(first, of_letter)
    return AblationVerdict(stands_out & is_silent, stands_out & ~is_silent & ~is_main, ranked)


def _require(main: Sequence[int], *, n_latents: int) -> None:
    if not len(main):
        raise UndefinedMetricError("absorption is measured against a letter's main latents, and none is given")
    if n_latents < 2:
        raise UndefinedMetricError(f"an SAE of {n_latents} latent has no second one whose ablation the first could exceed")
