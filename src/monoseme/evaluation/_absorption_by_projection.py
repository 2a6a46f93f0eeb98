"""Absorption as SAEBench defines it: without ablation, by how much of the probe's projection other latents carry.

What a latent adds to the projection of an activation on the letter's probe is its code times its decoder row's projection. *Full*
absorption: the main latents are silent, and one other latent adds a large share. The *fraction*: how much of what main latents
and a few absorbers add together comes from the absorbers; 1 where the main latents add nothing, between 0 and 1 where they still
add something (*partial*).

    p = probe / |probe|,  a_i = f_i <W_dec_i, p>,  m = sum of a_i over main latents,
    A = sum of the 3 largest a_i > 0 of other latents with cos(W_dec_i, p) >= 0.1
    full      iff main silent, the latent with the largest a_i has cos >= 0.025, and a_i / <x, p> >= 0.4 with <x, p> > 0
    fraction  0 if m >= <x, p> or A / <x, p> < 0.4;  1 if m <= 0;  otherwise b / (b + m), b = min(A, <x, p> - m)

Letters: N words, D width, F latents.
Source: Karvonen et al. 2025 (SAEBench), arXiv:2503.09532, appendix on absorption, and `feature_absorption_calculator.py` there.
Differs: a decoder row counts with its length, which SAEBench takes to be 1 (`unit_rows` gives its numbers), and a word that
projects on the probe at exactly 0 is not absorbed, where SAEBench divides by 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional

from monoseme.core.errors import ConfigError, UndefinedMetricError
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


@dataclass(frozen=True, kw_only=True)
class ProjectionRule:
    """Thresholds of SAEBench's definition."""

    silent: float = 1e-8
    """A main latent is silent while the size of its code is below it."""
    least_cosine: float = 0.025
    """Of the absorbing latent with the probe; full absorption."""
    least_absorber_cosine: float = 0.1
    """Of each absorbing latent with the probe; the fraction."""
    least_share: float = 0.4
    """Of the activation's projection that absorbers must add (fraction)."""
    n_absorbers: int = 3
    """Absorbers that count together in the fraction, at most (count)."""

    def __post_init__(self) -> None:
        if self.n_absorbers < 1:
            raise ConfigError(f"n_absorbers is {self.n_absorbers}; it must be at least 1")


class ProjectionVerdict(NamedTuple):
    """What the rules say of each word; all numbers float64."""

    is_full: Bool[Tensor, " N"]
    fraction: Float[Tensor, " N"]
    """In [0, 1]."""
    is_partial: Bool[Tensor, " N"]
    """Absorbers take a share, and the main latents still add something: a fraction between 0 and 1."""
    top: Int[Tensor, " N"]
    """The latent that adds most."""
    top_projection: Float[Tensor, " N"]
    main_projection: Float[Tensor, " N"]
    projection: Float[Tensor, " N"]
    """Of the activation itself."""


def judge_projections(
    x: Float[Tensor, "N D"],
    codes: Float[Tensor, "N F"],
    writes: Float[Tensor, "F D"],
    probe: Float[Tensor, " D"],
    *,
    main: Sequence[int],
    rule: ProjectionRule | None = None,
    unit_rows: bool = False,
) -> ProjectionVerdict:
    """Which words are absorbed and by how much. `writes` are the decoder's rows, `probe` is the letter's direction of any length.

    Raises UndefinedMetricError without a main latent.
    """
    if not len(main):
        raise UndefinedMetricError("absorption is measured against a letter's main latents, and none is given")
    rule = rule or ProjectionRule()
    direction = functional.normalize(probe.double(), dim=0)
    cosines = functional.normalize(writes.double(), dim=1) @ direction
    added = codes.double() * (cosines if unit_rows else writes.double() @ direction)
    of_letter = torch.tensor(list(main), device=codes.device)
    projection, of_main = x.double() @ direction, added[:, of_letter].sum(1)
    fraction = _fraction(projection, of_main, _absorbers(added, cosines, of_letter, rule), rule)
    top_projection, top = added.max(dim=1)
    is_silent = (codes[:, of_letter].double().abs() < rule.silent).all(dim=1)
    is_full = is_silent & (cosines[top] >= rule.least_cosine) & _is_large(top_projection, projection, rule)
    is_partial = (fraction > 0) & (of_main > 0)
    return ProjectionVerdict(is_full, fraction, is_partial, top, top_projection, of_main, projection)


def _absorbers(
    added: Float[Tensor, "N F"], cosines: Float[Tensor, " F"], main: Int[Tensor, " M"], rule: ProjectionRule
) -> Float[Tensor, " N"]:
    """What the strongest of the allowed absorbers add together."""
    allowed = cosines >= rule.least_absorber_cosine
    allowed[main] = False
    held = (added.clamp_min(0) * allowed).topk(min(rule.n_absorbers, added.shape[1]), dim=1)
    return held.values.sum(1)


def _fraction(
    projection: Float[Tensor, " N"], of_main: Float[Tensor, " N"], absorbed: Float[Tensor, " N"], rule: ProjectionRule
) -> Float[Tensor, " N"]:
    unaccounted = torch.minimum(absorbed, projection - of_main)
    shared = (unaccounted / (unaccounted + of_main)).clamp(0, 1)
    shared = torch.where(of_main <= 0, torch.ones_like(shared), shared)
    counts = (of_main < projection) & _is_large(absorbed, projection, rule)
    return torch.where(counts, shared, torch.zeros_like(shared))


def _is_large(part: Float[Tensor, " N"], whole: Float[Tensor, " N"], rule: ProjectionRule) -> Bool[Tensor, " N"]:
    """Whether a part is at least the least share of a whole above 0."""
    return (whole > 0) & (part / whole.where(whole > 0, torch.ones_like(whole)) >= rule.least_share)
