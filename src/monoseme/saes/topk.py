"""TopK: keep the k largest pre-activations of each token, set the rest to zero.

Source: Gao et al. 2024, arXiv:2406.04093, section 2 (activation, normalised MSE) and appendix A.2 (AuxK).
`signed` and `groups` have their sources in `_budget`, `multi_k` in `_multi_k`.
Differs from the paper: k_aux is the power of two nearest D / 2 (they say "close to"); AuxK leaves out latents that fire in the
batch itself; dead latents are counted in tokens; the input is not LayerNormed but scaled to unit mean square (`normalise`).
Letters: B tokens, D model width, F latents, K kept.
"""

from dataclasses import dataclass, field
from typing import Any

from monoseme.saes._auxk import AuxK, AuxKConfig
from monoseme.saes._base import SAE
from monoseme.saes._budget import strongest, strongest_of_groups
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._export import folded_copy
from monoseme.saes._mesh import DICTIONARY_AXES
from monoseme.saes._multi_k import MultiKConfig, with_multi_k
from monoseme.saes._reconstruct import ALL_PARAMETERS, MOVES_WITH_AUXK, reconstruction_losses, rows_of
from monoseme.saes._settings import aim_k, check_k
from monoseme.tensors.processes import Mesh
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class TopK(SAE):
    """f = relu(topk((x - b_dec) W_enc + b_enc)), x_hat = f W_dec + b_dec."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AuxKConfig):
        """Exactly k latents per token (fewer where pre-activations are negative)."""

        k: int = 32
        """Latents kept per token (count, 1 <= k <= n_latents)."""
        signed: bool = False
        """Keep the k largest in absolute value, with their sign (AbsTopK); else the k largest, where positive."""
        groups: bool = False
        """Keep the best latent of each of k groups of neighbours (GroupMax); else the k best of all."""
        multi_k: MultiKConfig = field(default_factory=MultiKConfig)
        """A second reconstruction from more latents."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            check_k(self.k, n_latents=self.n_latents)

    config: Config
    detached = frozenset({"auxk"})
    latent_axes = DICTIONARY_AXES

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_dictionary()
        self.moves = {**MOVES_WITH_AUXK, **({"multi_k": ALL_PARAMETERS} if config.multi_k.coefficient else {})}
        self._aux = AuxK.of(config, self.d_in)

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """The k largest latents of each vector, where positive."""
        rows = self.normalise(x)
        return self.public_codes(self._codes(rows.rows, self.config.k), rows)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction, AuxK, and the reconstruction from more latents where it is on."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        k, multi_k = knobs.k or self.config.k, self.config.multi_k
        losses = reconstruction_losses(self, raw, rows, self._codes(rows.rows, k), aux=self._aux)
        if not multi_k.coefficient:
            return losses
        more = self._codes(rows.rows, min(multi_k.multiple * k, self.config.n_latents))
        return with_multi_k(losses, self, rows, more, coefficient=multi_k.coefficient)

    def refuses(self, mesh: Mesh) -> str | None:
        """Groups of neighbours are spread over all processes that divide the latents."""
        if mesh.latents.size > 1 and self.config.groups:
            return (
                "groups of neighbours would be spread over all processes.\n  Leave out groups, or divide the rows of its batches."
            )
        return super().refuses(mesh)

    def export(self) -> SAE:
        """TopK on raw activations: scaling the input by one factor does not change which latents win."""
        return folded_copy(self)

    def _codes(self, rows: Float[Tensor, "B D"], k: int) -> SparseCodes:
        choose = strongest_of_groups if self.config.groups else strongest
        return choose(self.kernels, rows, self.encoder, k, signed=self.config.signed)
