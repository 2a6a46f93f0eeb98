"""Matching pursuit: take the best atom, subtract it, look again; k times.

    r = x - b_dec;  k times:  j = argmax_i <r, a_i>,  v = t <r, a_j>,  f_j += v,  r -= v a_j;      x_hat = f W_dec + b_dec

a_i are the rows of W_dec, which is the whole SAE: there is no encoder. An atom is chosen given those before it, so correlated and
nested directions (a parent with its children) are found where a one-shot encoder would take one for the other.

Source: Mallat & Zhang 1993; as an SAE: Costa et al. 2025, "From Flat to Hierarchical" (MP-SAE), arXiv:2506.03093; the code of
Temporal Feature Analysis (arXiv:2511.01836). `positive`, `stop_at_repeat` and `stop_norm` are SAELens' rules.
Differs from the code: the step t is 1 for unit-norm atoms (there: 1 / (4 D), with which one atom is chosen again and again, and
atoms of any norm); a row stops early when its residual is small (`stop_below`). As there, the largest *signed* product wins, and
an atom chosen again adds to its code.
Letters: B tokens, D model width, F latents, K steps.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._dictionary import unit_rows
from monoseme.saes._export import folded_copy
from monoseme.saes._greedy import Rules, greedy_codes
from monoseme.saes._reconstruct import reconstruction_losses, rows_of
from monoseme.saes._settings import aim_k, check_k
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class MatchingPursuit(SAE):
    """k times: f_j += <r, a_j>, r -= <r, a_j> a_j for the row a_j of W_dec with the largest <r, a_j>; r starts at x - b_dec."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SAE.Config):
        """At most k latents per token, chosen one after the other."""

        k: int = 32
        """Steps per token (count, 1 <= k <= n_latents); an atom chosen twice counts once in L0."""
        step: float = 1.0
        """Part of the projection on the chosen atom that is taken off (0 < it < 2); 1 is matching pursuit."""
        stop_below: float = 0.0
        """A token is done when its residual is shorter than this part of x - b_dec (0 <= it < 1); 0: always k steps."""

        positive: bool = False
        """A token is done when no atom has a positive product, so that codes are never negative; else the largest is taken."""
        stop_at_repeat: bool = False
        """A token is done after a step that takes an atom it has already."""
        stop_norm: float = 0.0
        """A token is done after a step that leaves a residual shorter than this, in the normalised space; 0: never for that."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            check_k(self.k, n_latents=self.n_latents)
            if not self.stop_norm >= 0:
                raise ConfigError(f"stop_norm is {self.stop_norm}; it must be at least 0")
            if not 0 < self.step < 2:
                raise ConfigError(f"step is {self.step}; it must be above 0 and below 2, beyond which residuals grow")
            if not 0 <= self.stop_below < 1:
                raise ConfigError(f"stop_below is {self.stop_below}; it must be at least 0 and below 1")

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.W_dec = nn.Parameter(unit_rows(self.n_latents, self.d_in, seed=config.seed))
        self.b_dec = nn.Parameter(torch.zeros(self.d_in))
        self.moves = {"reconstruction": frozenset({"W_dec", "b_dec"})}

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """What the steps took, differentiable given which atoms they chose."""
        rows = self.normalise(x)
        return self.public_codes(self._codes(rows.rows, self.config.k), rows)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        return reconstruction_losses(self, raw, rows, self._codes(rows.rows, knobs.k or self.config.k))

    def export(self) -> SAE:
        """The same on raw activations: choices do not depend on the scale, nor does the part left over; `stop_norm` moves."""
        made = folded_copy(self)
        if self.config.normalise.folds and self.config.stop_norm:
            made.config = replace(made.config, stop_norm=self.config.stop_norm / float(self.input_factor))
        return made

    def _codes(self, rows: Float[Tensor, "B D"], k: int) -> SparseCodes:
        config = self.config
        rules = Rules(config.positive, config.stop_at_repeat, config.stop_norm)
        return greedy_codes(rows - self.b_dec, self.W_dec, k, step=config.step, stop_below=config.stop_below, rules=rules)
