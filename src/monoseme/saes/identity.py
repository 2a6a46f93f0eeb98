"""Identity: the activations themselves as codes, one latent for each dimension. The ceiling of every measure of fidelity.

    f = x - b_dec,  x_hat = f + b_dec

Nothing is trained and nothing is sparse: its L0 is D and its FVU is 0. What neurons or coordinates score on a measure of
interpretability is what a dictionary has to beat.

Source: the usual baseline, for example Bricken et al. 2023, "Towards monosemanticity", for neurons.
Differs from the source: codes are centred and keep their sign.
Letters: B tokens, D model width.
"""

from dataclasses import dataclass
from typing import Any

import torch

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._baseline import MOVES_NOTHING, cap_latents, fixed_dictionary
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._export import folded_copy
from monoseme.saes._reconstruct import reconstruction_losses, rows_of
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class Identity(SAE):
    """f = x - b_dec, x_hat = f + b_dec."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SAE.Config):
        """One latent per dimension; nothing to set but the centre and the normalisation."""

        n_latents: int = 4096
        """Latents (count): becomes the width D, once known, and may not be less."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.target_l0 is not None:
                raise ConfigError(
                    f"target_l0 is {self.target_l0}; identity keeps all dimensions. For some of them use pca with k"
                )
            cap_latents(self)
            if self.d_in is not None and self.n_latents != self.d_in:
                raise ConfigError(
                    f"n_latents is {self.n_latents}; identity has one latent per dimension, {self.d_in}: leave it out"
                )

    config: Config
    sparsity = "none"
    moves = MOVES_NOTHING
    unit_norm = ()

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        fixed_dictionary(self, torch.eye(self.d_in))

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """The centred coordinates."""
        rows = self.normalise(x)
        return self.public_codes(self._codes(rows.rows), rows)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Zero to rounding, without a gradient."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        return reconstruction_losses(self, raw, rows, self._codes(rows.rows))

    def export(self) -> SAE:
        """The identity on raw activations."""
        return folded_copy(self)

    def _codes(self, rows: Float[Tensor, "B D"]) -> SparseCodes:
        every = torch.arange(self.n_latents, device=rows.device).expand(rows.shape[0], -1)
        return SparseCodes.from_topk(every, rows - self.b_dec, self.n_latents)
