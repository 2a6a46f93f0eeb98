"""The loss that TopK and its relatives share: normalised squared error, and AuxK for the dead.

Letters: B rows, D model width.
Source: Gao et al. 2024 (arXiv:2406.04093), section 2.1 (normalised MSE) and appendix A.2 (AuxK).
"""

from monoseme.saes._auxk import AuxK
from monoseme.saes._base import SAE
from monoseme.saes._codes import Losses, add_up
from monoseme.saes._dead import auxk, still_dead
from monoseme.saes._normalise import Normalised, denormalised
from monoseme.saes._squared_error import squared_error, squared_norms
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes

ALL_PARAMETERS = frozenset({"W_enc", "b_enc", "W_dec", "b_dec"})
MOVES = {"reconstruction": ALL_PARAMETERS}
"""What the reconstruction has a gradient for."""
MOVES_WITH_AUXK = {**MOVES, "auxk": ALL_PARAMETERS - {"b_dec"}}
"""The same with the auxiliary loss."""


def rows_of(x: Float[Tensor, "*lead D"], mask: Bool[Tensor, "*lead"] | None) -> Float[Tensor, "B D"]:
    """The rows that count, flattened."""
    return x.reshape(-1, x.shape[-1]) if mask is None else x[mask]


def auxk_part(
    sae: SAE,
    rows: Float[Tensor, "B D"],
    residual: Float[Tensor, "B D"],
    *,
    active: SparseCodes,
    aux: AuxK,
    squares: Float[Tensor, " B"] | None = None,
) -> Float[Tensor, ""]:
    """The auxiliary loss of what `active` left over of normalised `rows`, on the worst of them, times its coefficient.

    `squares` are ||residual||^2 of each row, made here where they are not at hand.
    """
    ranks = sae.mesh.rows
    dead = still_dead(sae.dead_mask(), active, rows=ranks)
    chosen = aux.worst(squared_norms(residual.detach()) if squares is None else squares, ranks=ranks)
    term = auxk(rows, residual, sae.encoder, sae.W_dec, dead=dead, k_aux=aux.k, kernels=sae.kernels, chosen=chosen)
    return aux.coefficient * term


def reconstruction_losses(
    sae: SAE, raw: Float[Tensor, "B D"], rows: Normalised, codes: SparseCodes, *, aux: AuxK | None = None
) -> Losses:
    """Losses of the codes (normalised space) that the architecture chose for `rows`.

        reconstruction = mean_b ||x_n - x_hat_n||^2 / V,   V = mean_n ||x_n - mean x_n||^2 over the sample given to start()

    so it is the FVU up to the difference between batch and sample; V is a constant, not the batch's. `auxk` is as in
    `_dead.auxk`, times its coefficient, on the rows with the largest ||x_n - x_hat_n||^2. Sums are in the parameters' dtype.
    """
    x_hat = sae.kernels.decode(codes, sae.W_dec, sae.b_dec)
    error = squared_error(rows.rows, x_hat)
    parts = {"reconstruction": error.mean / sae.input_variance}
    active = codes.detach()
    if aux is not None:
        parts["auxk"] = auxk_part(sae, rows.rows, error.residual, active=active, aux=aux, squares=error.squares)
    return Losses(add_up(parts), parts, active, denormalised(x_hat, rows, sae.input_factor), raw)
