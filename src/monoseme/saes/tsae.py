"""T-SAE: Matryoshka BatchTopK whose first group learns what stays the same along a text.

    loss = mean_i w_i mean_b ||x - x_hat_i||^2 / V + AuxK + temp_alpha * temporal(f_high, f'_high)

f are codes of the current token, f' those of an earlier token of the same context, encoded with a budget of k B entries each;
`temporal` is one of `_contrastive`, the non-contrastive one times w_0. Only the current token is reconstructed, and only it
counts for dead latents.

Source: "Temporal Sparse Autoencoders" (T-SAE), code AI4LIFE-GROUP/temporal-saes, class `TemporalMatryoshkaBatchTopKTrainer`.
Differs from the code: the reconstruction is divided by the input's variance V; x has unit mean square, so that dot products are
far smaller than those of raw activations (what that does is measured below); the threshold is averaged from the first step, with
a shorter memory, and begins at 0 where theirs at -1 (both mean a plain ReLU); a pair counts only if both its tokens do.

Measured on the bundled model's middle layer (2,048 latents, k 32, 300,000 tokens), variation of the high group between
neighbouring tokens relative to its size, and FVU: 1.57 and 0.167 for Matryoshka with the same groups; with dot products 0.83 and
0.181 at temperature 1, 0.97 and 0.194 at 0.1, 0.89 and 0.176 at 0.01, 1.90 and 0.145 at 0.001.
Letters: B pairs, D model width, F latents, G groups.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from monoseme.core.errors import ConfigError
from monoseme.saes._auxk import AuxK, AuxKConfig
from monoseme.saes._base import SAE
from monoseme.saes._budget import strongest, strongest_of_batch
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses, with_parts
from monoseme.saes._contrastive import Similarity, info_nce, weighted_change
from monoseme.saes._export import folded_copy, with_thresholds
from monoseme.saes._groups import Prefixes, first_alone, prefix_losses, sizes_from, weights_from, with_groups
from monoseme.saes._mesh import DICTIONARY_AXES
from monoseme.saes._reconstruct import ALL_PARAMETERS, MOVES_WITH_AUXK
from monoseme.saes._settings import aim_k, check_coefficient, check_k, refuse_unused
from monoseme.saes._threshold import add_threshold, check_decay, follow_cuts
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_MOVES = {**MOVES_WITH_AUXK, "temporal": ALL_PARAMETERS - {"W_dec"}}


class TSAE(SAE):
    """Matryoshka BatchTopK; the high group tells a token's context from others by InfoNCE(f_high f'_high^T)."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AuxKConfig):
        """Groups, and what holds the first together over time."""

        k: int = 32
        """Latents kept per token on average (count, 1 <= k <= n_latents)."""
        pairs: Literal["previous", "random"] = "random"
        """The earlier token: the one before, or any before it in the context."""
        contrastive: bool = True
        """InfoNCE between the high codes of the two tokens; else their weighted L1 distance."""
        temp_alpha: float = 0.1
        """Weight of the temporal loss; 0 leaves a Matryoshka."""
        similarity: Similarity = "dot"
        """What InfoNCE compares by: plain dot products as in T-SAE's code, or cosines."""
        contrastive_temperature: float = 1.0
        """What similarities are divided by (above 0). 1 is the original's formula, but on its raw activations, whose dot products
        grow with the norm squared; at unit mean square they are of order 1 or below, and a smaller temperature pulls harder."""
        group_sizes: tuple[int, ...] | None = None
        """Latents in each group (counts), the high-level one first; None: by group_fractions."""
        group_fractions: tuple[float, ...] = (0.2, 0.8)
        """Parts of n_latents in each group: int(fraction * F), the last takes the rest."""
        group_weights: tuple[float, ...] | None = None
        """Weight of each prefix's loss; the mean over prefixes counts. None: 0.2 and 0.8, or all 1 for other than two groups."""
        threshold_decay: float = 0.95
        """Weight of the past in the running inference threshold, per step (0 <= it < 1)."""
        inference: Literal["threshold", "k"] = "threshold"
        """What is kept in use: latents above the running threshold, or the k largest of each token."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            check_k(self.k, n_latents=self.n_latents)
            check_decay(self.threshold_decay)
            check_coefficient("temp_alpha", self.temp_alpha)
            if not self.contrastive_temperature > 0:
                raise ConfigError(f"contrastive_temperature is {self.contrastive_temperature}; it must be above 0")
            if not self.contrastive:
                refuse_unused(self, "similarity", "contrastive_temperature", because="contrastive is off")
            if self.group_sizes is not None:
                refuse_unused(self, "group_fractions", because="group_sizes say how large groups are")
            _ = self.weights  # raises where groups and weights do not fit

        @property
        def sizes(self) -> tuple[int, ...]:
            """Latents in each group."""
            return sizes_from(self.n_latents, sizes=self.group_sizes, fractions=self.group_fractions)

        @property
        def weights(self) -> tuple[float, ...]:
            """Weight of each prefix."""
            two = (0.2, 0.8) if self.group_weights is None and len(self.sizes) == 2 else self.group_weights
            return weights_from(len(self.sizes), two)

    config: Config
    learns_from = "pairs"
    moves = _MOVES
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
        self._aux = AuxK.of(config, self.d_in)

    @property
    def pair_offset(self) -> Literal["previous", "random"]:
        """As configured."""
        return self.config.pairs

    @property
    def groups(self) -> dict[str, int]:
        """The first group is high; all others together are low."""
        high = self.config.sizes[0]
        return {"high": high, "low": self.config.n_latents - high}

    @property
    def parts(self) -> tuple[str, ...]:
        """The whole, high and low."""
        return ("all", *self.groups)

    def use_k(self, k: int) -> None:
        """The k largest latents of each token from here on."""
        super().use_k(k)
        self.config = replace(self.config, inference="k")

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """Every activation above the inference threshold: a token's code needs no other token."""
        rows = self.normalise(x)
        if self.config.inference == "k":
            codes = strongest(self.kernels, rows.rows, self.encoder, self.config.k)
        else:
            codes = self.kernels.encode_threshold(rows.rows, self.encoder, self.threshold)
        return with_groups(self, self.public_codes(codes, rows), self.groups)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction of the current tokens from each prefix, AuxK and the temporal loss. x: [B, 2, D], the current first."""
        self.require_start()
        if mask is not None:
            x = x[mask.all(-1)]
        rows, before = self.normalise(x[:, 0]), self.normalise(x[:, 1])
        k = knobs.k or self.config.k
        codes, codes_before = self._training_codes(rows.rows, k), self._training_codes(before.rows, k)
        prefixes = Prefixes(self.config.sizes, self.config.weights, "mean")
        losses = prefix_losses(self, x[:, 0], rows, codes, prefixes=prefixes, aux=self._aux)
        high, high_before = (first_alone(self, code, self.config.sizes[0]) for code in (codes, codes_before))
        temporal = self._temporal(high, high_before, rows.rows, before.rows)
        l0_high = self.shard.sum(high.detach().l0().to(temporal.dtype).mean())
        logs = {"loss/temporal": temporal, "l0/high": l0_high, "l0/low": losses.logs["l0/effective"] - l0_high}
        return with_parts(losses, {"temporal": self.config.temp_alpha * temporal}, logs)

    @torch.no_grad()
    def after_step(self, *losses: Losses) -> None:
        """Also moves the inference threshold towards the cut of the current tokens of each batch."""
        super().after_step(*losses)
        follow_cuts(self, losses)

    def export(self) -> SAE:
        """The architecture "thresholded" with parts high and low, on raw activations."""
        if self.config.inference == "k":
            return folded_copy(self)
        return with_thresholds(self, self.threshold.expand(self.n_latents), groups=self.groups)

    def _training_codes(self, rows: Float[Tensor, "B D"], k: int) -> SparseCodes:
        return strongest_of_batch(self.kernels, rows, self.encoder, k * rows.shape[0])

    def _temporal(
        self, high: SparseCodes, earlier: SparseCodes, x: Float[Tensor, "B D"], x_earlier: Float[Tensor, "B D"]
    ) -> Float[Tensor, ""]:
        config = self.config
        if not config.contrastive:
            return config.weights[0] * weighted_change(high, earlier, x, x_earlier, latents=self.shard)
        temperature = config.contrastive_temperature
        return info_nce(high, earlier, self.kernels, similarity=config.similarity, temperature=temperature)
