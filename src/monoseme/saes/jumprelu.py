"""JumpReLU: every latent has a threshold of its own, learned by straight-through gradients.

    f = z 1[z > theta],   z = (x - b_dec) W_enc + b_enc,   theta = e^log_threshold
    l0          mean_b sum_i 1[z_i > theta_i]
    target_l0   (l0 / target_l0 - 1)^2
    tanh        mean_b sum_i tanh(tanh_scale ||W_dec_i|| f_i / s),   ||W_dec_i|| = 1 unless `weight_by_decoder_norm`

**Units.** s = sqrt(V / D), with V of the reconstruction loss: the standard deviation of the input along a direction taken at
random. Bandwidth, first threshold and tanh_scale are in multiples of it ("spread"), so that one recipe fits every site, or of
the normalised space itself ("normalised"), as in the papers.

Source: Rajamanoharan et al. 2024, arXiv:2407.14435, equations 8 to 12 (l0), appendix on other losses (target_l0); Circuits
Updates, January 2025 (tanh, pre-activation loss, thresholds by their logarithm; their penalty rises over the
whole run, which is a setting of training).
Differs from them: activations near a threshold move as the threshold does (`window_moves`; with thresholds alone L0 fell to 7 on
the way to a target of 20 and stayed there, with both it came to 19.9); the window is about z itself, not about relu(z), so that
silent latents do not count as near a small threshold; the pre-activation loss is for dead latents only, and b_dec is a constant
in it.
Letters: B tokens, D model width, F latents.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from monoseme.core.errors import ConfigError
from monoseme.kernels import Encoder
from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses, with_parts
from monoseme.saes._dead import n_dead, still_dead
from monoseme.saes._entries import at_entries
from monoseme.saes._export import with_thresholds
from monoseme.saes._mesh import latent_axes
from monoseme.saes._reconstruct import ALL_PARAMETERS, reconstruction_losses, rows_of
from monoseme.saes._settings import check_coefficient, refuse_unused
from monoseme.saes._ste import KERNELS, KernelName, Smoothing, jump, step
from monoseme.tensors.joint import mean_over, summed_over
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_THRESHOLD = frozenset({"log_threshold"})


class JumpReLU(SAE):
    """f = z 1[z > theta] with z = (x - b_dec) W_enc + b_enc, x_hat = f W_dec + b_dec; theta is learned."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SAE.Config):
        """As many latents per token as the penalty leaves."""

        penalty: Literal["l0", "target_l0", "tanh"] = "l0"
        """What is paid for: latents that are on, the distance of their number from target_l0, or a soft count."""
        sparsity_coefficient: float | None = None
        """Strength of the penalty: FVU per unit of penalty. None: 1 for target_l0, else 0.001 (a latent that is on must explain
        a thousandth of the variance)."""
        kernel: KernelName = "rectangle"
        """Shape of the window in which activations move a threshold."""
        bandwidth: float = 2.0
        """Width of that window, in `threshold_unit`."""
        start_threshold: float = 0.3
        """Where thresholds begin, in `threshold_unit`."""
        threshold_unit: Literal["spread", "normalised"] = "spread"
        """spread: standard deviation of the input along a random direction. normalised: 1 in the normalised space."""
        window_moves: Literal["all", "threshold"] = "all"
        """What has the gradient of the smoothed edge: thresholds alone as in the papers, or activations near them too."""
        threshold_learns_from: Literal["both", "penalty"] = "both"
        """Which losses have a gradient for the thresholds."""
        l0_counts: Literal["activations", "codes"] = "activations"
        """What l0 and target_l0 count: with codes, as in TFA, activations below a threshold do not move it."""
        tanh_scale: float = 4.0
        """Activation at which tanh saturates, inverted, per `threshold_unit`; only with penalty tanh."""
        weight_by_decoder_norm: bool = False
        """Leave the norms of decoder rows free, as tanh and the pre-activation loss weigh by them; only with penalty tanh."""
        pre_activation_coefficient: float = 0.0
        """Weight of the loss that lifts dead latents towards their thresholds; 0 turns it off."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("sparsity_coefficient", "pre_activation_coefficient"):
                check_coefficient(name, getattr(self, name))
            for name in ("bandwidth", "start_threshold", "tanh_scale"):
                if not getattr(self, name) > 0:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")
            if self.penalty == "target_l0" and self.target_l0 is None:
                raise ConfigError('penalty "target_l0" needs the target: set target_l0')
            self._refuse_what_is_not_used()

        def _refuse_what_is_not_used(self) -> None:
            names = ("l0_counts",) if self.penalty == "tanh" else ("tanh_scale", "weight_by_decoder_norm")
            refuse_unused(self, *names, because=f'penalty is "{self.penalty}"')

        @property
        def strength(self) -> float:
            """`sparsity_coefficient`, or what None stands for."""
            if self.sparsity_coefficient is not None:
                return self.sparsity_coefficient
            return 1.0 if self.penalty == "target_l0" else 1e-3

    config: Config
    sparsity = "penalty"
    latent_axes = latent_axes(log_threshold=0)
    detached = frozenset({"reconstruction", "sparsity", "pre_activation"})
    log_threshold: nn.Parameter
    """[F], in the normalised space."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_dictionary()
        self.log_threshold = nn.Parameter(torch.zeros(self.n_latents))
        self._start_thresholds()
        self.unit_norm = () if config.weight_by_decoder_norm else ("W_dec",)
        weighted = frozenset({"W_dec"} if config.weight_by_decoder_norm else ())
        paper = config.penalty != "tanh" and config.window_moves == "threshold"
        encoder = frozenset[str]() if paper else (ALL_PARAMETERS - {"W_dec"}) | weighted
        both = _THRESHOLD if config.threshold_learns_from == "both" else frozenset[str]()
        self.moves = {"reconstruction": ALL_PARAMETERS | both, "sparsity": encoder | _THRESHOLD}
        if config.pre_activation_coefficient:
            self.moves["pre_activation"] = frozenset({"W_enc", "b_enc"}) | weighted | _THRESHOLD

    @property
    def threshold(self) -> Float[Tensor, " F"]:
        """In the normalised space, differentiable."""
        return self.log_threshold.exp()

    @torch.no_grad()
    def start(self, sample: Float[Tensor, "*lead D"]) -> None:
        """Also sets the thresholds, whose unit is measured here."""
        super().start(sample)
        self._start_thresholds()

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """Every activation above its latent's threshold."""
        rows = self.normalise(x)
        return self.public_codes(self.kernels.encode_threshold(rows.rows, self.encoder, self.threshold), rows)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction, the penalty, and the pre-activation loss where it is on."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        z = self._near_and_above(rows.rows)
        theta = at_entries(self.threshold, z)
        learns = theta if self.config.threshold_learns_from == "both" else theta.detach()
        losses = reconstruction_losses(self, raw, rows, z.with_values(jump(z.values, learns, self._smoothing)))
        parts = {"sparsity": self.config.strength * knobs.sparsity * self._penalty(z, theta)}
        if self.config.pre_activation_coefficient and losses.active is not None:
            dead = still_dead(self.dead_mask(), losses.active, rows=self.mesh.rows)
            parts["pre_activation"] = self.config.pre_activation_coefficient * self._shortfall(rows.rows, dead)
        return with_parts(losses, parts, self._logs(losses.active))

    def export(self) -> SAE:
        """The architecture "thresholded", on raw activations."""
        return with_thresholds(self, self.threshold)

    @property
    def _unit(self) -> Float[Tensor, ""]:
        if self.config.threshold_unit == "normalised":
            return torch.ones_like(self.input_variance)
        return (self.input_variance / self.d_in).sqrt()

    @property
    def _smoothing(self) -> Smoothing:
        config = self.config
        return Smoothing(KERNELS[config.kernel], config.bandwidth * self._unit, config.window_moves == "all")

    @torch.no_grad()
    def _start_thresholds(self) -> None:
        self.log_threshold.copy_((self.config.start_threshold * self._unit).log().expand(self.n_latents))

    def _near_and_above(self, rows: Float[Tensor, "B D"]) -> SparseCodes:
        """Activations that are on, and those that a smoothing kernel sees from their threshold."""
        reach = self._smoothing.kernel.reach * self._smoothing.width
        return self.kernels.encode_threshold(rows, self.encoder, self.threshold.detach() - reach)

    def _penalty(self, z: SparseCodes, theta: Float[Tensor, " nnz"]) -> Float[Tensor, ""]:
        """The penalty of the module's docstring before its coefficient."""
        config = self.config
        if config.penalty == "tanh":
            f = jump(z.values, theta, self._smoothing)
            if config.weight_by_decoder_norm:
                f = f * at_entries(self.W_dec.norm(dim=1), z)
            return summed_over(self.shard, torch.tanh(config.tanh_scale / self._unit * f).sum()) / z.n_rows
        below = z.values <= theta if config.l0_counts == "codes" else torch.zeros_like(z.values, dtype=torch.bool)
        counted = z.values.masked_fill(below, -torch.inf)  # out of every kernel's reach
        l0 = summed_over(self.shard, step(counted, theta, self._smoothing).sum()) / z.n_rows
        if config.target_l0 is None or config.penalty == "l0":
            return l0
        return (mean_over(self.mesh.rows, l0, n_rows=z.n_rows) / config.target_l0 - 1).square()

    def _shortfall(self, rows: Float[Tensor, "B D"], dead: Tensor) -> Float[Tensor, ""]:
        """mean_b sum_dead relu(theta - z) ||W_dec|| / s: how far dead latents are below their thresholds; 0 with none dead."""
        n_silent = n_dead(dead, self.kernels)
        if n_silent == 0:
            return rows.new_zeros(())
        encoder = Encoder(self.W_enc, self.b_enc, self.b_dec.detach())
        z = self.kernels.encode_topk(rows.detach(), encoder, n_silent, among=dead)
        missing = (at_entries(self.threshold, z) - z.values).relu()
        if self.config.weight_by_decoder_norm:
            missing = missing * at_entries(self.W_dec.norm(dim=1), z)
        return summed_over(self.shard, missing.sum()) / z.n_rows / self._unit

    @torch.no_grad()
    def _logs(self, active: SparseCodes | None) -> dict[str, Tensor]:
        """`l1` of the codes and the mean and extremes of the thresholds, in the normalised space."""
        theta, latents = self.threshold, self.shard
        logs = {
            "threshold/mean": summed_over(latents, theta.sum()) / self.config.n_latents,
            "threshold/min": -latents.max(-theta.min()),
            "threshold/max": latents.max(theta.max()),
        }
        return logs if active is None else logs | {"l1": summed_over(latents, active.values.sum()) / active.n_rows}
