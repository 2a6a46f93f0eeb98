"""Sparsity penalties on the sizes of the latents: L1, Lp with p below 1, and p annealed over the run.

    power   mean_b sum_i a_i^p              norm   mean_b (sum_i a_i^p)^(1/p)

a_i are the activations in units of the input's standard deviation, f_i / sqrt(V), with V of the reconstruction loss, so that one
coefficient fits every site; with `weight_by_decoder_norm` they are f_i ||W_dec_i|| / sqrt(V), and the norms are free.

**Annealing.** p goes in a straight line from `p` to `p_end` while the run's progress goes from `anneal_from` to `anneal_to`. The
coefficient is multiplied by a factor that keeps the penalty level: at each step by what the same batch paid under the p of the
step before over what it pays under the new p (a constant to the gradient). The factors multiply up in a buffer beside the last
p, so a resumed run goes on with the same bits.

Source: Karvonen et al. 2024, arXiv:2408.00113, section 4 (p-annealing); dictionary_learning has both forms. Decoder norms:
Circuits Updates, April 2024.
Differs from them: p moves at every step, not in some jumps, so no queue of batches is needed to compare the levels; below p = 1,
a^p is (a + eps)^p - eps^p with eps = 1e-3, whose slope at a = 0 is finite.
Letters: B rows, F latents, nnz entries.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import nn

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._codes import Knobs, Losses
from monoseme.saes._entries import at_entries
from monoseme.saes._settings import check_coefficient
from monoseme.tensors.joint import mean_over, summed_over
from monoseme.tensors.processes import ALONE, Group, Mesh
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes

Form = Literal["power", "norm"]
_EPS = 1e-3


@dataclass(frozen=True, kw_only=True)
class LpConfig(SAE.Config):
    """Settings of the penalty."""

    sparsity_coefficient: float = 0.1
    """Strength of the penalty: FVU per unit of penalty."""
    p: float = 1.0
    """Exponent (0 < p <= 1): 1 is L1, less comes closer to counting the latents that are on."""
    p_end: float | None = None
    """Exponent at the end of annealing. None: p stays as it is."""
    anneal_from: float = 0.25
    """Part of the run (0 to 1) after which p begins to move."""
    anneal_to: float = 1.0
    """Part of the run (0 to 1) after which p has arrived."""
    lp_form: Form = "power"
    """power: sum a^p. norm: (sum a^p)^(1/p). The same for p = 1."""
    weight_by_decoder_norm: bool = False
    """Count each activation times the norm of its decoder row, and leave the norms free; else the rows have norm 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_coefficient("sparsity_coefficient", self.sparsity_coefficient)
        for name in ("p", "p_end"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ConfigError(f"{name} is {value}; it must be above 0 and at most 1")
        if not 0 <= self.anneal_from < self.anneal_to <= 1:
            raise ConfigError(
                f"anneal_from is {self.anneal_from} and anneal_to {self.anneal_to}; needed is 0 <= anneal_from < anneal_to <= 1"
            )
        if self.p_end is None and (self.anneal_from, self.anneal_to) != (0.25, 1.0):
            raise ConfigError("anneal_from and anneal_to say when p moves, but it stays: set p_end, or leave them out")


def sizes(sae: SAE, codes: SparseCodes, *, weight_by_decoder_norm: bool) -> SparseCodes:
    """The a_i of the module's docstring, from codes that are not negative."""
    values = codes.values / sae.input_variance.sqrt()
    if weight_by_decoder_norm:
        values = values * at_entries(sae.W_dec.norm(dim=1), codes)
    return codes.with_values(values)


def level(a: SparseCodes, p: float | Tensor, form: Form, *, latents: Group = ALONE) -> Float[Tensor, ""]:
    """The penalty of the module's docstring before its coefficient. Sums are in the dtype of the values, and over the latents of
    all processes of `latents`."""
    powers = a.values if isinstance(p, float) and p == 1.0 else (a.values + _EPS).pow(p) - _EPS**p
    if form == "power":
        return summed_over(latents, powers.sum()) / a.n_rows
    rows = torch.segment_reduce(powers, "sum", offsets=a.offsets, initial=0)
    return summed_over(latents, rows).pow(1 / p).mean()


class Penalty(NamedTuple):
    """What a step pays."""

    value: Float[Tensor, ""]
    """As it enters the loss."""
    logs: dict[str, Tensor]
    """`l1`; `lp` where p is not 1 throughout; `p` and `p_factor` where p moves."""


class LpPenalty(nn.Module):
    """The penalty of one SAE, with what annealing must remember."""

    p: Tensor
    """The exponent of the last step."""
    factor: Tensor
    """What the coefficient has been multiplied by to keep the penalty level."""

    def __init__(self, config: LpConfig) -> None:
        super().__init__()
        self._config = config
        self.register_buffer("p", torch.tensor(config.p))
        self.register_buffer("factor", torch.ones(()))

    def forward(self, a: SparseCodes, knobs: Knobs, *, mesh: Mesh = Mesh()) -> Penalty:  # noqa: B008  it cannot be changed
        """The penalty on sizes `a`. Changes nothing: a step's p and factor are taken over by `follow`."""
        config = self._config
        p = self._p_at(knobs.progress)
        paid = level(a, p, config.lp_form, latents=mesh.latents)
        value = config.sparsity_coefficient * knobs.sparsity * paid
        logs = {"l1": summed_over(mesh.latents, a.values.detach().sum()) / a.n_rows}
        if config.p_end is not None:
            factor = self._levelled(a, paid, mesh)
            value = value * factor
            logs |= {"p": paid.new_tensor(p), "p_factor": factor}
        if config.p != 1 or config.p_end is not None:
            logs["lp"] = paid
        return Penalty(value, logs)

    @torch.no_grad()
    def follow(self, *losses: Losses) -> None:
        """After a step: its p and factor are what the next step starts from."""
        if self._config.p_end is not None and losses:
            self.p.copy_(torch.stack([batch.logs["p"] for batch in losses]).mean())
            self.factor.copy_(torch.stack([batch.logs["p_factor"] for batch in losses]).mean())

    def _p_at(self, progress: float) -> float:
        config = self._config
        if config.p_end is None:
            return config.p
        part = (progress - config.anneal_from) / (config.anneal_to - config.anneal_from)
        return config.p + (config.p_end - config.p) * min(1.0, max(0.0, part))

    @torch.no_grad()
    def _levelled(self, a: SparseCodes, paid: Tensor, mesh: Mesh) -> Tensor:
        before = level(a, self.p, self._config.lp_form, latents=mesh.latents)
        before, paid = (mean_over(mesh.rows, value, n_rows=a.n_rows) for value in (before, paid))
        return self.factor * torch.where(paid > 0, before / paid, 1.0)
