"""PCA: projections on the directions of most variance, all of them or the k largest of each token.

    f = (x - b_dec) W_dec^T, or its k largest entries in size;  x_hat = f W_dec + b_dec

W_dec holds the orthonormal eigenvectors of the covariance of the sample given to `start`, by falling variance, b_dec is its mean.
Nothing is trained. With n_latents components and no k it is the best linear code of that rank; with k it is the orthogonal
dictionary that a sparse one has to beat.

Source: Pearson 1901; as a baseline for dictionaries: Cunningham et al. 2023 (arXiv:2309.08600), section 3.
Differs from the source: codes keep their sign, one latent for both directions of a component; k is ours.
Letters: B tokens, N rows of the sample, D model width, F components.
"""

from dataclasses import dataclass
from typing import Any

import torch

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._baseline import MOVES_NOTHING, cap_latents, fixed_dictionary
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._dictionary import BiasStart
from monoseme.saes._export import folded_copy
from monoseme.saes._reconstruct import reconstruction_losses, rows_of
from monoseme.saes._settings import aim_k
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class PCA(SAE):
    """f = topk_|.|((x - mean) V), x_hat = f V^T + mean, V the eigenvectors of the covariance."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SAE.Config):
        """The first components, whole or sparse."""

        n_latents: int = 4096
        """Components, those of most variance (count); there are no more than the width D, so a larger number means all."""
        k: int | None = None
        """Components kept per token, the largest in size (count); None keeps all."""
        b_dec_start: BiasStart = "mean"
        """Always mean: variance is about the mean."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            cap_latents(self)
            if self.k is not None and not 1 <= self.k <= self.n_latents:
                raise ConfigError(f"k is {self.k}; it must be from 1 to n_latents = {self.n_latents}, or None for all")
            if self.b_dec_start != "mean":
                raise ConfigError(f'b_dec_start is "{self.b_dec_start}"; components are about the mean: leave it out')

    config: Config
    moves = MOVES_NOTHING
    unit_norm = ()

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        fixed_dictionary(self, torch.eye(self.n_latents, self.d_in))

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """The projections, or the k largest in size; signed."""
        rows = self.normalise(x)
        return self.public_codes(self._codes(rows.rows, self.config.k), rows)

    @torch.no_grad()
    def start(self, sample: Float[Tensor, "*lead D"]) -> None:
        """Measures the components besides what the base class measures, in float64. Raises TrainingError as there."""
        super().start(sample)
        self.W_dec.copy_(_components(self.normalise(sample).rows)[: self.n_latents])
        self.W_enc.copy_(self.W_dec.t())

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """The variance left over, as a share, without a gradient."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        return reconstruction_losses(self, raw, rows, self._codes(rows.rows, knobs.k or self.config.k))

    def export(self) -> SAE:
        """The same for raw activations: directions do not change with the scale."""
        return folded_copy(self)

    def _codes(self, rows: Float[Tensor, "B D"], k: int | None) -> SparseCodes:
        projections = (rows - self.b_dec) @ self.W_enc
        kept = self.kernels.topk(projections.abs(), min(k or self.n_latents, self.n_latents))
        return kept.with_values(projections[kept.rows(), kept.indices.long()])


def _components(rows: Float[Tensor, "N D"]) -> Float[Tensor, "D D"]:
    """Unit eigenvectors of the covariance as rows, by falling variance; the largest entry of each is positive. float64."""
    rows = rows.double()
    centred = rows - rows.mean(0)
    vectors = torch.linalg.eigh(centred.t() @ centred).eigenvectors.flip(1).t()
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * largest.sign()
