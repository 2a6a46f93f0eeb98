"""ReLU: the plain sparse autoencoder, kept sparse by an L1 or Lp penalty.

    loss = ||x - x_hat||^2 / V + coefficient * penalty(f),   with a penalty of `_penalty`: sum f, sum f^p or its norm

Source: Bricken et al. 2023, "Towards monosemanticity" (L1, unit decoder rows, b_dec taken off the input); Circuits Updates, April
2024 (`weight_by_decoder_norm`: norms are free and weigh the penalty); Karvonen et al. 2024, arXiv:2408.00113 (p-annealing);
Circuits Updates, January 2024 (`ghost_coefficient`).
Differs from them: activations are penalised in units of the input's standard deviation; with decoder norms as weights b_dec is
still taken off the input. Resampling of dead latents is a matter of training, not of the architecture.
Letters: B tokens, D model width, F latents.
"""

from dataclasses import dataclass
from typing import Any

from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses, with_parts
from monoseme.saes._dead import still_dead
from monoseme.saes._export import folded_copy
from monoseme.saes._ghost import ghost
from monoseme.saes._mesh import DICTIONARY_AXES
from monoseme.saes._penalty import LpConfig, LpPenalty, sizes
from monoseme.saes._reconstruct import ALL_PARAMETERS, MOVES, reconstruction_losses, rows_of
from monoseme.saes._settings import check_coefficient
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class ReLU(SAE):
    """f = relu((x - b_dec) W_enc + b_enc), x_hat = f W_dec + b_dec."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LpConfig):
        """As many latents per token as the penalty leaves."""

        ghost_coefficient: float = 0.0
        """Weight of the ghost gradients that revive dead latents; 0 turns them off."""

        def __post_init__(self) -> None:
            super().__post_init__()
            check_coefficient("ghost_coefficient", self.ghost_coefficient)

    config: Config
    sparsity = "penalty"
    latent_axes = DICTIONARY_AXES
    detached = frozenset({"ghost"})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_dictionary()
        self.penalty = LpPenalty(config)
        weighted = frozenset({"W_dec"} if config.weight_by_decoder_norm else ())
        self.unit_norm = () if config.weight_by_decoder_norm else ("W_dec",)
        self.moves = {**MOVES, "sparsity": (ALL_PARAMETERS - {"W_dec"}) | weighted}
        if config.ghost_coefficient:
            self.moves["ghost"] = ALL_PARAMETERS - {"b_dec"}

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """Every positive activation."""
        rows = self.normalise(x)
        return self.public_codes(self._codes(rows.rows), rows)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction, the penalty, and ghost gradients where they are on."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        codes = self._codes(rows.rows)
        losses = reconstruction_losses(self, raw, rows, codes)
        paid = self.penalty(sizes(self, codes, weight_by_decoder_norm=self.config.weight_by_decoder_norm), knobs, mesh=self.mesh)
        parts = {"sparsity": paid.value}
        if self.config.ghost_coefficient:
            term = self._ghost(rows.rows, codes.detach(), size=losses.parts["reconstruction"])
            parts["ghost"] = self.config.ghost_coefficient * term
        return with_parts(losses, parts, paid.logs)

    def after_step(self, *losses: Losses) -> None:
        """Also keeps the exponent and the level of an annealed penalty."""
        super().after_step(*losses)
        self.penalty.follow(*losses)

    def export(self) -> SAE:
        """The same on raw activations."""
        return folded_copy(self)

    def _codes(self, rows: Float[Tensor, "B D"]) -> SparseCodes:
        return self.kernels.encode_threshold(rows, self.encoder, self.b_enc.new_zeros(()))

    def _ghost(self, rows: Float[Tensor, "B D"], codes: SparseCodes, *, size: Float[Tensor, ""]) -> Float[Tensor, ""]:
        dead = still_dead(self.dead_mask(), codes, rows=self.mesh.rows)
        residual = rows - self.kernels.decode(codes, self.W_dec.detach(), self.b_dec.detach())
        return ghost(rows, residual, self.encoder, self.W_dec, dead=dead, size=size, kernels=self.kernels)
