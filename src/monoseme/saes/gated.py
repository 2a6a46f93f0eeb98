"""Gated: one linear map decides which latents are on, a rescaled copy of it how strong they are.

    u = (x - b_dec) W_enc,   gate = u + b_gate,   magnitude = e^r_mag u + b_mag,   f = 1[gate > 0] relu(magnitude)
    loss = ||x - x_hat||^2 / V + coefficient * penalty(relu(gate)) + ||x - relu(gate) W_dec - b_dec||^2 / V

In the last term, the auxiliary, W_dec and the b_dec that is added are constants: it only teaches the gate, which has no gradient
from the reconstruction. The penalty does not shrink magnitudes. It may be Lp and annealed, see `_penalty`.

Source: Rajamanoharan et al. 2024, arXiv:2404.16014, section 3.2 (equations 5 to 8) and appendix G.
Differs from the paper: the penalty counts activations in units of the input's standard deviation. Annealed p with gates:
dictionary_learning.
Letters: B tokens, D model width, F latents.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from monoseme.kernels import Encoder
from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses, with_parts
from monoseme.saes._dictionary import encoder_parameter, unit_rows
from monoseme.saes._entries import at_entries
from monoseme.saes._export import with_thresholds
from monoseme.saes._mesh import latent_axes
from monoseme.saes._penalty import LpConfig, LpPenalty, sizes
from monoseme.saes._reconstruct import reconstruction_losses, rows_of
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_GATE = frozenset({"W_enc", "b_gate", "b_dec"})


class _Open(NamedTuple):
    """The latents whose gate is open: the same entries twice."""

    gate: SparseCodes
    """relu(gate), positive."""
    codes: SparseCodes
    """relu(magnitude); explicit zeros where the magnitude is not positive."""


class Gated(SAE):
    """f = 1[u + b_gate > 0] relu(e^r_mag u + b_mag) with u = (x - b_dec) W_enc, x_hat = f W_dec + b_dec."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LpConfig):
        """As many latents per token as the penalty on the gates leaves."""

    config: Config
    sparsity = "penalty"
    latent_axes = latent_axes(r_mag=0, b_gate=0, b_mag=0)
    detached = frozenset({"auxiliary"})
    r_mag: nn.Parameter
    """[F], log of the ratio of magnitude to gate weights."""
    b_gate: nn.Parameter
    b_mag: nn.Parameter

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        rows = unit_rows(config.n_latents, self.d_in, seed=config.seed, part=self.shard)
        self.W_enc = encoder_parameter(rows)
        self.W_dec = nn.Parameter(rows)
        self.b_dec = nn.Parameter(torch.zeros(self.d_in))
        for name in ("r_mag", "b_gate", "b_mag"):
            self.register_parameter(name, nn.Parameter(torch.zeros(self.n_latents)))
        self.penalty = LpPenalty(config)
        weighted = frozenset({"W_dec"} if config.weight_by_decoder_norm else ())
        self.unit_norm = () if config.weight_by_decoder_norm else ("W_dec",)
        self.moves = {
            "reconstruction": frozenset({"W_enc", "r_mag", "b_mag", "W_dec", "b_dec"}),
            "sparsity": _GATE | weighted,
            "auxiliary": _GATE,
        }

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """Positive magnitudes where the gate is open."""
        rows = self.normalise(x)
        return self.public_codes(self._open(rows.rows).codes, rows)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction, the penalty on the gates, and the auxiliary reconstruction from the gates."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        gate, codes = self._open(rows.rows)
        losses = reconstruction_losses(self, raw, rows, codes)
        paid = self.penalty(sizes(self, gate, weight_by_decoder_norm=self.config.weight_by_decoder_norm), knobs, mesh=self.mesh)
        from_gate = self.kernels.decode(gate, self.W_dec.detach(), self.b_dec.detach())
        auxiliary = (rows.rows - from_gate).square().sum(1).mean() / self.input_variance
        return with_parts(losses, {"sparsity": paid.value, "auxiliary": auxiliary}, paid.logs)

    def after_step(self, *losses: Losses) -> None:
        """Also keeps the exponent and the level of an annealed penalty."""
        super().after_step(*losses)
        self.penalty.follow(*losses)

    @torch.no_grad()
    def export(self) -> SAE:
        """The architecture "thresholded": with z = e^r_mag u + b_mag the gate is open where z > b_mag - e^r_mag b_gate.

        So f = z 1[z > max(0, b_mag - e^r_mag b_gate)], exactly.
        """
        ratio = self.r_mag.exp()
        thresholds = (self.b_mag - ratio * self.b_gate).clamp_min(0)
        return with_thresholds(self, thresholds, encoder=Encoder(self.W_enc * ratio, self.b_mag))

    def _open(self, rows: Float[Tensor, "B D"]) -> _Open:
        """One product serves both: u is needed only where the gate is open."""
        linear = Encoder(self.W_enc, torch.zeros_like(self.b_gate), self.b_dec)
        u = self.kernels.encode_threshold(rows, linear, -self.b_gate.detach())
        gate = u.values + at_entries(self.b_gate, u)
        magnitude = u.values * at_entries(self.r_mag.exp(), u) + at_entries(self.b_mag, u)
        return _Open(u.with_values(gate), u.with_values(magnitude.relu()))
