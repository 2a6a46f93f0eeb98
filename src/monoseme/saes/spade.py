"""SpaDE: each token as a mixture of a few prototypes, those nearest to it.

    p = sparsemax(-s |x - a_j|^2),   s = softplus(scale_pre) > 0,   x_hat = p W_dec,   no bias

a_j are the columns of W_enc. Weights of a token sum to one; how many prototypes share them depends on how near they are, so the
number of active latents adapts to the token. Distances, not projections: a token far from everything still has a code, and moving
the origin changes nothing in it (x_hat has no bias, though: the rows of W_dec hold the mean).

Source: "Projecting Assumptions: The Duality Between Sparse Autoencoders and Concept Geometry", arXiv:2503.01822, and the code of
Temporal Feature Analysis (arXiv:2511.01836). Sparsemax: arXiv:1602.02068.
Differs from the code:
- The scale of the input is measured (`normalise`), not a constant of one model. Both bring it to about norm 1.
- s starts at 2, not 1 / (4 D). From there nearly all latents stay active long: on the planted dictionary of the tests (D = 32,
  F = 128), 82 after 600 steps, and none of the directions are found. From 2 it is 23, and all are found.
- Rows of W_dec start as 1.5 times their prototypes (there: random, of one size): what is near in one is near in the other.
- The losses are divided by the variance of the input.

Letters: B tokens, D model width, F latents, nnz entries.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from monoseme.core.errors import ConfigError
from monoseme.kernels import Encoder
from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses, with_parts
from monoseme.saes._dictionary import BiasStart, encoder_parameter, unit_rows
from monoseme.saes._export import folded_config, folded_state, successor
from monoseme.saes._reconstruct import reconstruction_losses, rows_of
from monoseme.saes._settings import check_coefficient
from monoseme.saes._sparsemax import sparsemax_encode
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_ENCODER = frozenset({"W_enc", "scale_pre"})


class SpaDE(SAE):
    """f = sparsemax(-s |x - a_j|^2) with a_j the columns of W_enc and s learned, x_hat = f W_dec."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SAE.Config):
        """A mixture of near prototypes."""

        sparsity_coefficient: float = 0.01
        """Strength of the penalty on the distance to the active prototypes: FVU per unit of squared distance over variance."""
        scale_start: float = 2.0
        """Where s, the factor on squared distances, begins (> 0; for inputs of mean square 1). The original's is 1 / (4 D)."""
        decoder_start: float = 1.5
        """Norm of the rows of W_dec at the start: above that of the input (1), because weights that sum to one only average."""
        b_dec_start: BiasStart = "zeros"
        """There is no bias: always zeros."""

        def __post_init__(self) -> None:
            super().__post_init__()
            check_coefficient("sparsity_coefficient", self.sparsity_coefficient)
            if not self.scale_start > 0:
                raise ConfigError(f"scale_start is {self.scale_start}; it must be positive")
            if not self.decoder_start > 0:
                raise ConfigError(f"decoder_start is {self.decoder_start}; it must be positive")
            if self.b_dec_start != "zeros":
                raise ConfigError(f'b_dec_start is {self.b_dec_start}, but spade has no bias: leave it at "zeros"')

    config: Config
    sparsity = "penalty"
    moves = MappingProxyType({"reconstruction": _ENCODER | {"W_dec"}, "sparsity": _ENCODER})
    unit_norm = ()
    code_sum: Tensor
    """What the latents of a token sum to: 1, until `export` puts the scale of the input into it."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        rows = unit_rows(self.n_latents, self.d_in, seed=config.seed)
        self.W_enc = encoder_parameter(rows)
        self.W_dec = nn.Parameter(config.decoder_start * rows)
        self.scale_pre = nn.Parameter(_inverse_softplus(torch.tensor(config.scale_start)))
        self.register_buffer("b_dec", torch.zeros(self.d_in))
        self.register_buffer("code_sum", torch.ones(()))

    @property
    def scale(self) -> Float[Tensor, ""]:
        """s: what squared distances (of the normalised space) are multiplied by."""
        return functional.softplus(self.scale_pre)

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """The weights of the nearest prototypes."""
        rows = self.normalise(x)
        codes, _ = self._mixture(rows.rows)
        return self.public_codes(codes, rows)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction, and the penalty on how far the active prototypes are.

        sparsity = coefficient * knobs.sparsity * mean_b sum_j p_bj |x_b - a_j|^2 / V
        """
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        codes, distances = self._mixture(rows.rows)
        losses = reconstruction_losses(self, raw, rows, codes)
        spread = (codes.values / self.code_sum * distances).sum() / max(1, codes.n_rows) / self.input_variance
        penalty = self.config.sparsity_coefficient * knobs.sparsity * spread
        return with_parts(losses, {"sparsity": penalty}, {"scale": self.scale, "spread": spread})

    @torch.no_grad()
    def export(self) -> SAE:
        """SpaDE on raw activations: prototypes 1 / factor as long, s factor^2 as large, latents that sum to 1 / factor."""
        state = folded_state(self)
        state["W_enc"] /= self.input_factor
        state["code_sum"] /= self.input_factor
        if self.input_factor != 1:  # the way through softplus and back may cost a bit
            state["scale_pre"] = _inverse_softplus(self.scale * self.input_factor**2)
        return successor(self, SpaDE(folded_config(self.config)), state)

    def _mixture(self, rows: Float[Tensor, "B D"]) -> tuple[SparseCodes, Float[Tensor, " nnz"]]:
        """Codes, and the squared distance of each entry's prototype from its row.

        |x|^2 is the same for all prototypes of a row and drops out of sparsemax. What is left, 2 s x a_j - s |a_j|^2, is linear.
        """
        scale, squares = self.scale, self.W_enc.square().sum(0)
        mixture = sparsemax_encode(rows, Encoder(2 * scale * self.W_enc, -scale * squares), self.kernels)
        codes = mixture.codes
        distances = rows.square().sum(1)[codes.rows()] - mixture.given / scale
        return codes.with_values(codes.values * self.code_sum), distances


def _inverse_softplus(value: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """x with log(1 + e^x) = value, also where value is tiny."""
    return value + torch.log(-torch.expm1(-value))
