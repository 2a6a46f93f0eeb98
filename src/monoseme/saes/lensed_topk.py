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

from monoseme.saes._auxk import AuxK, AuxKConfig
from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._export import folded_copy
from monoseme.saes._lens import SiteLens
from monoseme.saes._reconstruct import MOVES_WITH_AUXK, reconstruction_losses, rows_of
from monoseme.saes._settings import aim_k, check_k
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class LensedTopK(SAE):
    """y = x + x W^T + b, f = relu(topk((y - b_dec) W_enc + b_enc)), x_hat = (f W_dec + b_dec - b) (W + I)^-T."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AuxKConfig):
        """Exactly k latents per token, in the space of the lens."""

        k: int = 32
        """Latents kept per token (count, 1 <= k <= n_latents)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            check_k(self.k, n_latents=self.n_latents)

    config: Config
    moves = MOVES_WITH_AUXK
    detached = frozenset({"auxk"})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_dictionary()
        self.lens = SiteLens(1, self.d_in)
        self._aux = AuxK.of(config, self.d_in)

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
