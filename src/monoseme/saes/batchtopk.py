"""BatchTopK: keep the k B largest pre-activations of a batch of B tokens, so that tokens share their budget.

Source: Bussmann et al. 2024, arXiv:2412.06410. AuxK as in Gao et al. 2024, arXiv:2406.04093, appendix A.2.
Differs from the paper: the inference threshold is an exponential average of the smallest positive kept activation (they average
over training), with a short memory, because early cuts are far off and a short run must forget them.
Letters: B tokens, D model width, F latents.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from monoseme.saes._auxk import AuxK, AuxKConfig
from monoseme.saes._base import SAE
from monoseme.saes._budget import above, strongest, strongest_of_batch
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._export import folded_copy, with_thresholds
from monoseme.saes._mesh import DICTIONARY_AXES
from monoseme.saes._multi_k import MultiKConfig, with_multi_k
from monoseme.saes._reconstruct import ALL_PARAMETERS, MOVES_WITH_AUXK, reconstruction_losses, rows_of
from monoseme.saes._settings import aim_k, check_k
from monoseme.saes._threshold import add_threshold, check_decay, follow_cuts
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class BatchTopK(SAE):
    """Training: the k B largest of relu(pre) over the batch. Use: every activation above a fixed threshold."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AuxKConfig):
        """k latents per token on average."""

        k: int = 32
        """Latents kept per token on average (count, 1 <= k <= n_latents)."""
        signed: bool = False
        """Keep the largest in absolute value, with their sign (AbsTopK over a batch); else the largest, where positive."""
        multi_k: MultiKConfig = field(default_factory=MultiKConfig)
        """A second reconstruction from more latents."""
        threshold_decay: float = 0.95
        """Weight of the past in the running inference threshold, per step (0 <= it < 1). A batch's own cut is a precise
        estimate, and that of early steps is far from that of later ones: a memory of twenty steps does not drag it along."""

        inference: Literal["threshold", "k"] = "threshold"
        """What is kept in use: latents above the running threshold, or the k largest of each token."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            check_k(self.k, n_latents=self.n_latents)
            check_decay(self.threshold_decay)

    config: Config
    detached = frozenset({"auxk"})
    latent_axes = DICTIONARY_AXES
    threshold: Tensor
    """Running inference threshold in the normalised space; 0 (a plain ReLU) until the first step."""
    threshold_updates: Tensor
    """Steps the threshold has seen."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_dictionary()
        add_threshold(self)
        self.moves = {**MOVES_WITH_AUXK, **({"multi_k": ALL_PARAMETERS} if config.multi_k.coefficient else {})}
        self._aux = AuxK.of(config, self.d_in)

    def use_k(self, k: int) -> None:
        """The k largest latents of each token from here on."""
        super().use_k(k)
        self.config = replace(self.config, inference="k")

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """Every activation above the inference threshold (or a token's k largest): rows do not depend on each other."""
        rows, config = self.normalise(x), self.config
        if config.inference == "k":
            codes = strongest(self.kernels, rows.rows, self.encoder, config.k, signed=config.signed)
        else:
            codes = above(self.kernels, rows.rows, self.encoder, self.threshold, signed=config.signed)
        return self.public_codes(codes, rows)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction and AuxK from exactly k B entries (fewer where pre-activations are negative), and multi_k where on."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        k, multi_k = knobs.k or self.config.k, self.config.multi_k
        losses = reconstruction_losses(self, raw, rows, self._training_codes(rows.rows, k), aux=self._aux)
        if not multi_k.coefficient:
            return losses
        more = self._training_codes(rows.rows, min(multi_k.multiple * k, self.config.n_latents))
        return with_multi_k(losses, self, rows, more, coefficient=multi_k.coefficient)

    @torch.no_grad()
    def after_step(self, *losses: Losses) -> None:
        """Also moves the inference threshold towards the smallest kept activation of each batch, zeros left out."""
        super().after_step(*losses)
        follow_cuts(self, losses)

    def export(self) -> SAE:
        """The architecture "thresholded" on raw activations; signed codes, or a k of each token, stay what they are."""
        if self.config.signed or self.config.inference == "k":
            return folded_copy(self)
        return with_thresholds(self, self.threshold.expand(self.n_latents))

    def _training_codes(self, rows: Float[Tensor, "B D"], k: int) -> SparseCodes:
        return strongest_of_batch(self.kernels, rows, self.encoder, k * rows.shape[0], signed=self.config.signed)
