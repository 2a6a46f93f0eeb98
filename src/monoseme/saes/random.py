"""Random: TopK over a fixed dictionary of random directions. The floor: what a dictionary gives that has learned nothing.

    f = s relu(topk((x - b_dec) W_dec^T)),  x_hat = f W_dec + b_dec

W_dec has rows drawn uniformly from the sphere. The one number s fits the size of the reconstruction to the sample given to
`start`, by least squares (random directions overlap, so plain projections overshoot); nothing is trained.

Source: the usual baseline, for example Cunningham et al. 2023 (arXiv:2309.08600), section 3.
Differs from the source: TopK, and the fitted size.
Letters: B tokens, D model width, F latents, K kept.
"""

from dataclasses import dataclass
from typing import Any

import torch

from monoseme.saes._base import SAE
from monoseme.saes._baseline import MOVES_NOTHING, fixed_dictionary
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._dictionary import unit_rows
from monoseme.saes._export import folded_copy
from monoseme.saes._reconstruct import reconstruction_losses, rows_of
from monoseme.saes._settings import aim_k, check_k
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class Random(SAE):
    """f = s relu(topk((x - b_dec) W_dec^T)), x_hat = f W_dec + b_dec, W_dec random and fixed."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SAE.Config):
        """k random directions per token."""

        k: int = 32
        """Latents kept per token (count, 1 <= k <= n_latents)."""
        fit_size: bool = True
        """Whether the sizes of the codes are multiplied by one number fitted to the sample; off, codes are plain projections."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            check_k(self.k, n_latents=self.n_latents)

    config: Config
    moves = MOVES_NOTHING
    unit_norm = ()

    size: Tensor
    """s, 0-d."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        fixed_dictionary(self, unit_rows(self.n_latents, self.d_in, seed=config.seed))
        self.register_buffer("size", torch.ones(()))

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """The k largest projections of each vector, where positive."""
        rows = self.normalise(x)
        return self.public_codes(self._codes(rows.rows, self.config.k), rows)

    def encode_biased(self, x: Float[Tensor, "*lead D"], latent_bias: Float[Tensor, " F"], codes: Codes) -> Codes:
        """As the base class; projections are multiplied by s after the choice, so the bias is divided by it before."""
        return super().encode_biased(x, latent_bias / self.size.clamp_min(torch.finfo(self.size.dtype).tiny), codes)

    @torch.no_grad()
    def start(self, sample: Float[Tensor, "*lead D"]) -> None:
        """Fits s besides what the base class measures; its sums are in float64. Raises TrainingError as there."""
        super().start(sample)
        self.size.fill_(1.0)
        if self.config.fit_size:
            rows = self.normalise(sample).rows
            decoded = self.kernels.decode(self._codes(rows, self.config.k), self.W_dec).double()
            along = ((rows - self.b_dec).double() * decoded).sum()
            self.size.copy_(along / decoded.square().sum().clamp_min(torch.finfo(torch.float64).tiny))

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """The error as a share of the variance, without a gradient."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        return reconstruction_losses(self, raw, rows, self._codes(rows.rows, knobs.k or self.config.k))

    def export(self) -> SAE:
        """The same for raw activations: scaling the input by one factor does not change which latents win."""
        return folded_copy(self)

    def _codes(self, rows: Float[Tensor, "B D"], k: int) -> SparseCodes:
        codes = self.kernels.encode_topk(rows, self.encoder, k)
        return codes.with_values(codes.values.relu() * self.size)
