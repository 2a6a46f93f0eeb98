"""Normalised TopK: TopK on vectors that each have mean 0 and deviation 1, with an orthogonal start (llama3-sae).

    x~ = (x - mean_D x) / (std_D x + eps)
    f = relu(topk((x~ - b_dec) W_enc + b_enc)),  x~_hat = f W_dec + b_dec,  x_hat = x~_hat (std_D x + eps) + mean_D x
    loss = mean (x~_hat - x~)^2 + auxk_coefficient mean (e_hat - e)^2,  e = x~ - x~_hat, detached

The means of the loss run over rows and columns; e_hat is what the k_aux strongest dead latents decode to, without a bias.

Source: Pauls 2024, github.com/PaulPauls/llama3_interpretability_sae; Gao et al. 2024 (arXiv:2406.04093) for TopK and AuxK.
Differs from the source: latents are unit vectors (theirs normalises each *component* of the decoder over all latents, the other
axis); b_dec starts from normalised, not raw, vectors; the auxiliary loss takes as many dead latents as there are (theirs is off
below k_aux of them), takes none of the living, and leaves b_dec alone; dead latents are counted in tokens, not steps; the encoder
starts from blocks of D orthonormal rows (theirs has orthonormal columns, hence shorter rows).
Letters: B tokens, D model width, F latents, K kept.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from monoseme.core.errors import ConfigError
from monoseme.saes._auxk import AuxK, AuxKConfig
from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses, add_up
from monoseme.saes._dead import n_dead, revived, still_dead
from monoseme.saes._dictionary import BiasStart, encoder_parameter, orthogonal_rows
from monoseme.saes._export import folded_copy
from monoseme.saes._mesh import DICTIONARY_AXES
from monoseme.saes._normalise import NormaliseConfig, Normalised, denormalised
from monoseme.saes._reconstruct import MOVES_WITH_AUXK, rows_of
from monoseme.saes._settings import aim_k, check_k
from monoseme.saes._squared_error import squared_norms
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class NormalizedTopK(SAE):
    """f = relu(topk((x~ - b_dec) W_enc + b_enc)), x_hat = (f W_dec + b_dec) std(x) + mean(x), x~ = (x - mean(x)) / std(x)."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AuxKConfig):
        """k latents per token, on standardised vectors."""

        k: int = 64
        """Latents kept per token (count, 1 <= k <= n_latents)."""
        k_aux: int = 2048
        """Most dead latents per token in the auxiliary loss (count)."""
        normalise: NormaliseConfig = field(default_factory=lambda: NormaliseConfig(kind="standardise", eps=1e-6))
        """Always of kind "standardise": that is the architecture; eps is in units of the activations."""
        b_dec_start: BiasStart = "mean"
        """Where b_dec begins, in the normalised space: mean or geometric_median of a sample, or zeros."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            check_k(self.k, n_latents=self.n_latents)
            if self.normalise.kind != "standardise":
                raise ConfigError(
                    f'normalise.kind is "{self.normalise.kind}": normalized_topk standardises each vector ("standardise").\n'
                    "  For another normalisation use the architecture topk."
                )

    config: Config
    moves = MOVES_WITH_AUXK
    latent_axes = DICTIONARY_AXES
    detached = frozenset({"auxk"})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_dictionary()
        rows = orthogonal_rows(config.n_latents, self.d_in, seed=config.seed, part=self.shard)
        self.W_enc, self.W_dec = encoder_parameter(rows), nn.Parameter(rows)
        self._aux = AuxK.of(config, self.d_in)

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """The k largest latents of each vector, where positive."""
        rows = self.normalise(x)
        return self.public_codes(self._codes(rows.rows, self.config.k), rows)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Mean squared error in the normalised space, and the auxiliary loss; both means are over rows and columns."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        codes = self._codes(rows.rows, knobs.k or self.config.k)
        x_hat = self.kernels.decode(codes, self.W_dec, self.b_dec)
        active = codes.detach()
        parts = {
            "reconstruction": (rows.rows - x_hat).square().mean(),
            "auxk": self._aux.coefficient * self._auxk(rows, x_hat, active),
        }
        return Losses(add_up(parts), parts, active, denormalised(x_hat, rows, self.input_factor), raw)

    def export(self) -> SAE:
        """The same SAE: each vector has a normalisation of its own, which no weights can take in."""
        return folded_copy(self)

    def _codes(self, rows: Float[Tensor, "B D"], k: int) -> SparseCodes:
        codes = self.kernels.encode_topk(rows, self.encoder, k)
        return codes.with_values(codes.values.relu())

    def _auxk(self, rows: Normalised, x_hat: Float[Tensor, "B D"], active: SparseCodes) -> Float[Tensor, ""]:
        """mean (e - e_hat)^2 over the rows with the largest |e|, standardised; 0 when nothing is dead."""
        dead = still_dead(self.dead_mask(), active, rows=self.mesh.rows)
        if n_dead(dead, self.kernels) == 0:
            return x_hat.new_zeros(())
        error = (rows.rows - x_hat).detach()
        chosen = self._aux.worst(squared_norms(error), ranks=self.mesh.rows)
        asked, residual = rows.rows[chosen.rows], error[chosen.rows]
        if len(asked) == 0:
            return x_hat.new_zeros(())
        e_hat = revived(asked, self.encoder, self.W_dec, dead=dead, k_aux=self._aux.k, kernels=self.kernels)
        return chosen.share * (residual - e_hat).square().mean()
