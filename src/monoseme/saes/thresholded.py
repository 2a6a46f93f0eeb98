"""Thresholded: keep every activation above a fixed threshold. What BatchTopK and its relatives become for use.

Source: Bussmann et al. 2024, arXiv:2412.06410, section 3 (inference); the function of JumpReLU, Rajamanoharan et al. 2024,
arXiv:2407.14435, equation 4.
Differs from the papers: each latent has a threshold, not all together one; thresholds are given, not learned.
Letters: B tokens, D model width, F latents.
"""

from dataclasses import dataclass
from typing import Any

import torch

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._export import folded_copy
from monoseme.saes._groups import group_names, sizes_from, with_groups
from monoseme.saes._mesh import latent_axes
from monoseme.saes._reconstruct import MOVES, reconstruction_losses, rows_of
from monoseme.tensors.shapes import Bool, Float, Tensor


class Thresholded(SAE):
    """f = a 1[a > threshold] with a = relu((x - b_dec) W_enc + b_enc), and one threshold for each latent.

    The loss is the reconstruction alone, with thresholds held fixed: for fine-tuning what another architecture learned.
    From scratch, thresholds are zero, which is a ReLU SAE without a sparsity penalty.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(SAE.Config):
        """Groups, where what it was made of had some; the thresholds are part of the weights."""

        group_sizes: tuple[int, ...] | None = None
        """Latents in each group (counts, together n_latents), in order; None: no groups."""
        group_names: tuple[str, ...] | None = None
        """Name of each group as a part of a code; None: group_0, group_1, ..."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.group_sizes is not None:
                sizes_from(self.n_latents, sizes=self.group_sizes, fractions=())
            if self.group_names is not None and len(set(self.group_names) - {"all"}) != len(self.group_sizes or ()):
                raise ConfigError(f"group_names are {self.group_names}; each group needs one of its own, other than all")

        @property
        def groups(self) -> dict[str, int]:
            """Name -> size of each group."""
            sizes = self.group_sizes or ()
            return dict(zip(self.group_names or group_names(len(sizes)), sizes, strict=True))

    config: Config
    sparsity = "none"
    latent_axes = latent_axes(threshold=0)
    moves = MOVES
    threshold: Tensor
    """[F], in the normalised space, not negative."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_dictionary()
        self.register_buffer("threshold", torch.zeros(self.n_latents))

    @property
    def parts(self) -> tuple[str, ...]:
        """The whole, then each group."""
        return ("all", *self.config.groups)

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """Every activation above its latent's threshold."""
        rows = self.normalise(x)
        codes = self.kernels.encode_threshold(rows.rows, self.encoder, self.threshold)
        return with_groups(self, self.public_codes(codes, rows), self.config.groups)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
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
