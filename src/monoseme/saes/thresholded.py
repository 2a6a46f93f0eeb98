"""Thresholded: keep every activation above a fixed threshold. What BatchTopK becomes for use; can be fine-tuned.

Source: Bussmann et al. 2024, arXiv:2412.06410, section 3 (inference); the function of JumpReLU, Rajamanoharan et al. 2024,
arXiv:2407.14435, equation 4, but here thresholds are given, not learned.
Letters: B tokens, D model width, F latents.
"""

from dataclasses import dataclass
from typing import Any

import torch

from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._export import folded_copy
from monoseme.saes._reconstruct import MOVES, reconstruction_losses, rows_of
from monoseme.tensors.shapes import Bool, Float, Tensor


class Thresholded(SAE):
    """f = a 1[a > threshold] with a = relu((x - b_dec) W_enc + b_enc), and one threshold for each latent.

    The loss is the reconstruction alone, with thresholds held fixed: for fine-tuning what another architecture learned.
    From scratch, thresholds are zero, which is a ReLU SAE without a sparsity penalty.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(SAE.Config):
        """Nothing of its own: the thresholds are part of the weights."""

    config: Config
    sparsity = "none"
    moves = MOVES
    threshold: Tensor
    """[F], in the normalised space, not negative."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_dictionary()
        self.register_buffer("threshold", torch.zeros(config.n_latents))

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """Every activation above its latent's threshold."""
        rows = self.normalise(x)
        return self.public_codes(self.kernels.encode_threshold(rows.rows, self.encoder, self.threshold), rows)

    def loss(
        self,
        x: Float[Tensor, "*lead D"],
        knobs: Knobs = DEFAULT_KNOBS,
        *,
        mask: Bool[Tensor, "*lead"] | None = None,
    ) -> Losses:
        """Reconstruction of the codes that `encode` gives."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        codes = self.kernels.encode_threshold(rows.rows, self.encoder, self.threshold)
        return reconstruction_losses(self, raw, rows, codes)

    def export(self) -> SAE:
        """The same on raw activations."""
        return folded_copy(self)
