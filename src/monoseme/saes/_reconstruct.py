"""The loss that TopK and its relatives share: normalised squared error, and AuxK for the dead.

Letters: B rows, D model width.
Source: Gao et al. 2024 (arXiv:2406.04093), section 2.1 (normalised MSE) and appendix A.2 (AuxK).
"""

from collections.abc import Mapping
from typing import NamedTuple

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._codes import Losses, add_up
from monoseme.saes._dead import auxk, still_dead
from monoseme.saes._normalise import Normalised
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes

ALL_PARAMETERS = frozenset({"W_enc", "b_enc", "W_dec", "b_dec"})
MOVES = {"reconstruction": ALL_PARAMETERS}
"""What the reconstruction has a gradient for."""
MOVES_WITH_AUXK = {**MOVES, "auxk": ALL_PARAMETERS - {"b_dec"}}
"""The same with the auxiliary loss."""


class AuxK(NamedTuple):
    """Settings of the auxiliary loss."""

    k: int
    """Dead latents per row (count)."""
    coefficient: float


def check_sparsity(k: int, *, n_latents: int, auxk_coefficient: float, k_aux: int | None) -> None:
    """Raises ConfigError unless 1 <= k <= n_latents, the coefficient is not negative and k_aux is at least 1 where given."""
    if not 1 <= k <= n_latents:
        raise ConfigError(f"k is {k}; it must be from 1 to n_latents = {n_latents}")
    if auxk_coefficient < 0:
        raise ConfigError(f"auxk_coefficient is {auxk_coefficient}; it must be at least 0 (0 turns the auxiliary loss off)")
    if k_aux is not None and k_aux < 1:
        raise ConfigError(f"k_aux is {k_aux}; it must be at least 1, or None for the power of two nearest half the width")


def aim_k(config: SAE.Config) -> None:
    """Sets the `k` of a config that is being made from its `target_l0`, where one is given: what is aimed at is what is kept."""
    if config.target_l0 is not None:
        object.__setattr__(config, "k", max(1, round(config.target_l0)))  # the way to fill in a frozen config


def rows_of(x: Float[Tensor, "*lead D"], mask: Bool[Tensor, "*lead"] | None) -> Float[Tensor, "B D"]:
    """The rows that count, flattened."""
    return x.reshape(-1, x.shape[-1]) if mask is None else x[mask]


def with_part(losses: Losses, name: str, term: Float[Tensor, ""], logs: Mapping[str, Tensor] | None = None) -> Losses:
    """The losses with one more part in the total, its coefficient included, and more logs."""
    parts = {**losses.parts, name: term}
    more = {log: value.detach() for log, value in (logs or {}).items()}
    return losses._replace(total=add_up(parts), parts=parts, logs={**losses.logs, **more})


def auxk_part(
    sae: SAE, rows: Float[Tensor, "B D"], residual: Float[Tensor, "B D"], *, active: SparseCodes, aux: AuxK
) -> Float[Tensor, ""]:
    """The auxiliary loss of what `active` left over of normalised `rows`, times its coefficient."""
    dead = still_dead(sae.dead_mask(), active)
    return aux.coefficient * auxk(rows, residual, dict(sae.named_parameters()), dead=dead, k_aux=aux.k, kernels=sae.kernels)


def reconstruction_losses(
    sae: SAE, raw: Float[Tensor, "B D"], rows: Normalised, codes: SparseCodes, *, aux: AuxK | None = None
) -> Losses:
    """Losses of the codes (normalised space) that the architecture chose for `rows`.

        reconstruction = mean_b ||x_n - x_hat_n||^2 / V,   V = mean_n ||x_n - mean x_n||^2 over the sample given to start()

    so it is the FVU up to the difference between batch and sample; V is a constant, not the batch's. `auxk` is as in
    `_dead.auxk`, times its coefficient. Sums are in the dtype of the parameters.
    """
    x_hat = sae.kernels.decode(codes, sae.W_dec, sae.b_dec)
    residual = rows.rows - x_hat
    parts = {"reconstruction": residual.square().sum(1).mean() / sae.input_variance}
    active = codes.detach()
    if aux is not None:
        parts["auxk"] = auxk_part(sae, rows.rows, residual, active=active, aux=aux)
    raw_hat = x_hat / sae.input_factor
    if rows.scale is not None and rows.offset is not None:
        raw_hat = raw_hat * rows.scale + rows.offset
    return Losses(add_up(parts), parts, active, raw_hat, raw)
