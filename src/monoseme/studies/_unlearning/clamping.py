"""Which latents speak of what is to be forgotten, and setting them to a negative value where they fire.

Source: Farrell, Lau and Conmy 2024, arXiv:2410.19278; `evals/unlearning` of SAEBench 0.6.0. Differs: densities are over tokens
that are not special, which SAEBench counts; of equally dense latents the lower number comes first.

Letters: T tokens, F latents.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from monoseme.models.edit import EditContext
from monoseme.saes import Codes
from monoseme.splice import Change
from monoseme.studies._workbench import Coded
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class Setting(NamedTuple):
    """One way of choosing and clamping latents."""

    retain_density: float
    """Only latents that fire on a smaller share of the retained text (fraction)."""
    n_latents: int
    """How many of them, at most."""
    multiplier: float
    """They are set to minus this, in the unit of the codes."""


def densities(coded: Iterator[Coded]) -> dict[str, Float[Tensor, " F"]]:
    """Subject -> on which share of the tokens each latent is above 0, float64."""
    counts: dict[str, Tensor] = {}
    n_tokens: dict[str, int] = {}
    for each in coded:
        for name, code in each.codes.items():
            fired = torch.bincount(code.indices[code.values > 0].long().cpu(), minlength=code.n_latents)
            counts[name] = counts[name] + fired if name in counts else fired
            n_tokens[name] = n_tokens.get(name, 0) + code.n_rows
    return {name: count.double() / n_tokens[name] for name, count in counts.items()}


def latents_to_clamp(forget: Float[Tensor, " F"], retain: Float[Tensor, " F"], setting: Setting) -> list[int]:
    """The latents that fire most often on the text to forget, of those that fire on it at all and seldom on the retained text.

    Fewer than `setting.n_latents` where no more are left.
    """
    scores = torch.where(retain < setting.retain_density, forget, torch.zeros_like(forget))
    ranked = scores.argsort(descending=True, stable=True)[: setting.n_latents]
    return [int(latent) for latent in ranked if scores[latent] > 0]


def clamp_where_active(latents: Sequence[int], value: float) -> Change:
    """Sets the latents to `value` where they are above 0; elsewhere they stay as they are."""

    def change(codes: Codes, _context: EditContext) -> Codes:
        code = codes.all
        if isinstance(code, SparseCodes):
            chosen = torch.tensor(list(latents), dtype=code.indices.dtype, device=code.device)
            there = torch.isin(code.indices, chosen) & (code.values > 0)
            return codes.with_all(code.with_values(code.values.masked_fill(there, value)))
        chosen = torch.zeros(code.shape[-1], dtype=torch.bool, device=code.device)
        chosen[list(latents)] = True
        return codes.with_all(code.masked_fill(chosen & (code > 0), value))

    return change
