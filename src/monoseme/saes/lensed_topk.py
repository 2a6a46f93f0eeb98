"""Lensed TopK: TopK behind one affine map and its inverse; one layer of an MLSAE that was trained behind a tuned lens.

    y = x + x W^T + b,  f = relu(topk((y~ - b_dec) W_enc + b_enc)),  y~_hat = f W_dec + b_dec,  x_hat = (y_hat - b) (W + I)^-T

where ~ is the input normalisation. It is what `MLSAE.at` gives, to use or to fine-tune; the map is not trained, and a new one is
the identity.

Source: Lawson et al. 2024 (arXiv:2409.04185), section 3, for the lens; Gao et al. 2024 (arXiv:2406.04093) for TopK.
Differs from the papers: as topk and mlsae do.
Letters: B tokens, D model width, F latents, K kept.
"""

from dataclasses import dataclass
from typing import Any

import torch

from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._dead import default_k_aux
from monoseme.saes._export import folded_copy
from monoseme.saes._lens import SiteLens
from monoseme.saes._reconstruct import MOVES_WITH_AUXK, AuxK, reconstruction_losses, rows_of
from monoseme.saes._settings import aim_k, check_sparsity
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class LensedTopK(SAE):
    """y = x + x W^T + b, f = relu(topk((y - b_dec) W_enc + b_enc)), x_hat = (f W_dec + b_dec - b) (W + I)^-T."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SAE.Config):
        """Exactly k latents per token, in the space of the lens."""

        k: int = 32
        """Latents kept per token (count, 1 <= k <= n_latents)."""
        auxk_coefficient: float = 1 / 32
        """Weight of the auxiliary loss that revives dead latents; 0 turns it off."""
        k_aux: int | None = None
        """Dead latents per token in the auxiliary loss (count); None for the power of two nearest half the width."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            check_sparsity(self.k, n_latents=self.n_latents, auxk_coefficient=self.auxk_coefficient, k_aux=self.k_aux)

    config: Config
    moves = MOVES_WITH_AUXK
    detached = frozenset({"auxk"})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_dictionary()
        self.lens = SiteLens(1, self.d_in)
        self._aux = AuxK(config.k_aux or default_k_aux(self.d_in), config.auxk_coefficient)

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """The k largest latents of each vector, where positive."""
        rows = self.normalise(self._through_lens(x))
        return self.public_codes(self._codes(rows.rows, self.config.k), rows)

    def decode(self, codes: Codes) -> Float[Tensor, "*lead D"]:
        """Raw activations."""
        return self._back(super().decode(codes))

    @torch.no_grad()
    def start(self, sample: Float[Tensor, "*lead D"]) -> None:
        """As the base class, in the space of the lens."""
        super().start(self._through_lens(sample))

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction and AuxK, both in the space of the lens."""
        self.require_start()
        raw = rows_of(x, mask)
        seen = self._through_lens(raw)
        rows = self.normalise(seen)
        losses = reconstruction_losses(self, seen, rows, self._codes(rows.rows, knobs.k or self.config.k), aux=self._aux)
        return losses._replace(x_hat=self._back(losses.x_hat), x=raw)

    def export(self) -> SAE:
        """The same for raw activations: the factor of the normalisation comes after the lens and goes into the weights."""
        return folded_copy(self)

    def _through_lens(self, x: Float[Tensor, "*lead D"]) -> Float[Tensor, "*lead D"]:
        return self.lens(x.unsqueeze(-2)).squeeze(-2)

    def _back(self, y: Float[Tensor, "*lead D"]) -> Float[Tensor, "*lead D"]:
        return self.lens.inverse(y.unsqueeze(-2)).squeeze(-2)

    def _codes(self, rows: Float[Tensor, "B D"], k: int) -> SparseCodes:
        codes = self.kernels.encode_topk(rows, self.encoder, k)
        return codes.with_values(codes.values.relu())
