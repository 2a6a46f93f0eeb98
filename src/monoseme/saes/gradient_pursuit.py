"""Gradient pursuit: no encoder; the codes of a token are searched for in the dictionary, k latents at most.

    f = the sparse, non-negative code that `_pursuit` finds for x - b_dec in W_dec,      x_hat = f W_dec + b_dec

It learns its dictionary as dictionary learning does, by turns: codes are found for the dictionary as it is, then W_dec and b_dec
follow the gradient of the reconstruction with these codes held fixed. Or it takes the dictionary of any trained SAE, and so shows
how much of that one's error is its encoder's:

    better = GradientPursuit.of(sae, k=32)

Source: Blumensath & Davies 2008, "Gradient pursuits"; Smith 2024, inference-time optimisation for SAEs (see `_pursuit`).
Differs from the papers: see `_pursuit`; learning with it is an addition, after Olshausen & Field 1997.
Letters: B tokens, D model width, F latents.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._dictionary import unit_rows
from monoseme.saes._export import folded_config, folded_copy, folded_state, successor
from monoseme.saes._pursuit import pursue
from monoseme.saes._reconstruct import reconstruction_losses, rows_of
from monoseme.saes._settings import aim_k, check_k
from monoseme.tensors.shapes import Bool, Float, Tensor


class GradientPursuit(SAE):
    """f = argmin |x - b_dec - f W_dec|^2 over f >= 0 with at most k latents, greedily; x_hat = f W_dec + b_dec."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SAE.Config):
        """At most k latents per token, searched for."""

        k: int = 32
        """Latents per token at most (count, 1 <= k <= n_latents)."""
        n_refinements: int = 0
        """Further steps that better the values after the k-th latent has joined (count)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            check_k(self.k, n_latents=self.n_latents)
            if self.n_refinements < 0:
                raise ConfigError(f"n_refinements is {self.n_refinements}; it must be at least 0")

    config: Config
    detached = frozenset({"reconstruction"})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.W_dec = nn.Parameter(unit_rows(self.n_latents, self.d_in, seed=config.seed))
        self.b_dec = nn.Parameter(torch.zeros(self.d_in))
        self.moves = {"reconstruction": frozenset({"W_dec", "b_dec"})}

    @classmethod
    def of(cls, sae: SAE, *, k: int, n_refinements: int = 0) -> "GradientPursuit":
        """The dictionary of a trained SAE, searched instead of encoded; codes are multiples of the same decoder rows.

        Raises ConfigError for an SAE whose x_hat is not codes W_dec + b_dec of the one vector that it reads.
        """
        names = {name for name, _ in sae.named_parameters()}
        if "layers" in (sae.reads, sae.learns_from) or type(sae).decode is not SAE.decode or not {"W_dec", "b_dec"} <= names:
            raise ConfigError(f"{sae.plugin_name} has no one dictionary to search: it must read and rebuild single vectors")
        config = folded_config(sae.config)
        common: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(SAE.Config)}
        common["target_l0"] = None
        return successor(sae, cls(cls.Config(**common, k=k, n_refinements=n_refinements)), folded_state(sae))

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """What the search finds, differentiable given its choices."""
        rows = self.normalise(x)
        codes = pursue(rows.rows, self.W_dec, self.b_dec, k=self.config.k, n_steps=self.config.k + self.config.n_refinements)
        return self.public_codes(codes, rows)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction from the codes that the search finds, which are constants to the gradient."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        k = knobs.k or self.config.k
        with torch.no_grad():
            codes = pursue(rows.rows, self.W_dec, self.b_dec, k=k, n_steps=k + self.config.n_refinements)
        return reconstruction_losses(self, raw, rows, codes)

    def export(self) -> SAE:
        """The same on raw activations: the search does not depend on the scale."""
        return folded_copy(self)
