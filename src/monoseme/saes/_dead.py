"""Dead latents: counted in tokens, revived by the auxiliary loss AuxK.

Letters: B rows, D model width, F latents.
Source: Gao et al. 2024 (arXiv:2406.04093), appendix A.2.
"""

import math
from typing import NamedTuple

import torch

from monoseme.kernels import Encoder, Kernels
from monoseme.saes._squared_error import squared_error, squared_norms
from monoseme.tensors.joint import mean_over
from monoseme.tensors.processes import ALONE, Group
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


class Chosen(NamedTuple):
    """The rows of this process on which a loss is taken, where it is taken on some rows of the batch alone."""

    rows: slice | Int[Tensor, " _"]
    """Ascending."""
    share: float = 1.0
    """What a mean over these rows is multiplied by, so that training, which weighs a process by its share of all rows, gets the
    mean over the rows of all processes. 1 for a process alone."""


EVERY_ROW = Chosen(slice(None))


def default_k_aux(d_in: int) -> int:
    """The power of two nearest to D / 2 on the log scale (128 for D = 192, 512 for 768); Gao et al. take one close to it."""
    return 2 ** max(0, round(math.log2(d_in / 2)))


def fired_latents(active: SparseCodes) -> Bool[Tensor, " F"]:
    """Which latents have a value other than zero somewhere."""
    totals = active.values.new_zeros(active.n_latents).index_add_(0, active.indices, (active.values != 0).to(active.values.dtype))
    return totals != 0


@torch.no_grad()
def count_tokens(tokens_since_fired: Int[Tensor, " F"], active: SparseCodes, *, rows: Group = ALONE) -> None:
    """Adds the batch's rows to every latent's count of tokens without firing and resets those that fired, in place.

    The batch is that of all processes of `rows`.
    """
    note_firing(tokens_since_fired, fired_latents(active), n_rows=active.n_rows, rows=rows)


@torch.no_grad()
def note_firing(
    tokens_since_fired: Int[Tensor, "*sites F"], fired: Bool[Tensor, "*sites F"], *, n_rows: int, rows: Group
) -> None:
    """The same from which latents fired in `n_rows` rows."""
    tokens_since_fired.add_(rows.sum(torch.tensor(n_rows, device=fired.device)) if rows.size > 1 else n_rows)
    tokens_since_fired.masked_fill_(rows.max(fired), 0)


@torch.no_grad()
def still_dead(dead: Bool[Tensor, " F"], active: SparseCodes, *, rows: Group = ALONE) -> Int[Tensor, " m"]:
    """Latents that were dead before this batch (of all processes of `rows`) and do not fire in it, ascending."""
    if bool(dead.any()):
        dead = dead & ~rows.max(fired_latents(active))
    return dead.nonzero().squeeze(1)


def revived(
    x: Float[Tensor, "B C"],
    encoder: Encoder,
    W_dec: Float[Tensor, "F D"],
    *,
    dead: Int[Tensor, " m"],
    k_aux: int,
    kernels: Kernels,
) -> Float[Tensor, "B D"]:
    """What the dead latents could add: relu(the k_aux largest dead pre-activations of each row) W_dec, without a bias.

    Fewer than `k_aux` latents are taken where fewer are dead. x and the encoder's centre are constants here, so the result moves
    the weights of dead latents only: the encoder's, its bias, and W_dec.
    """
    codes = kernels.encode_topk(x.detach().contiguous(), with_fixed_centre(encoder), k_aux, among=dead)
    return kernels.decode(codes.with_values(codes.values.relu()), W_dec)


def with_fixed_centre(encoder: Encoder) -> Encoder:
    """The encoder for losses that revive the dead: what it takes off its input is a constant to the gradient."""
    return encoder if encoder.centre is None else encoder._replace(centre=encoder.centre.detach())


def n_dead(dead: Int[Tensor, " m"], kernels: Kernels) -> int:
    """How many there are on all processes that share the latents: where one has some, all take part in what revives them."""
    latents = kernels.mesh.latents
    return dead.numel() if latents.size == 1 else int(latents.sum(torch.tensor(dead.numel(), device=dead.device)))


def batch_variance(rows: Float[Tensor, "B D"], *, group: Group = ALONE) -> Float[Tensor, ""]:
    """mean_b ||e - mean_b e||^2 over the rows of all processes of the group."""
    centre = mean_over(group, rows.mean(0), n_rows=len(rows))
    return mean_over(group, squared_norms(rows - centre).mean(), n_rows=len(rows))


def auxk(
    x: Float[Tensor, "B D"],
    residual: Float[Tensor, "B D"],
    encoder: Encoder,
    W_dec: Float[Tensor, "F D"],
    *,
    dead: Int[Tensor, " m"],
    k_aux: int,
    kernels: Kernels,
    chosen: Chosen = EVERY_ROW,
) -> Float[Tensor, ""]:
    """How badly the k_aux strongest dead latents of each row explain what the live ones left over; 0 when nothing is dead.

        mean_b ||e - e_hat||^2 / mean_b ||e - mean_b e||^2,   e = residual, e_hat as in `revived`

    e is detached, and x is in the space of the weights. The first mean is over the chosen rows alone, the second over all: where
    the worst are chosen, the loss starts above 1. Divided by the variance of those it would start at 1, as on all rows, and
    revive less: measured, 3.9 % dead in place of 2.7 % at the end of `docs/results/auxk_schedule.md`'s first setting, 64.7 %
    in place of 64.2 % in its second. Zero too if the residual has no variance (a single row). Sums are in the dtype of x.
    """
    if n_dead(dead, kernels) == 0:
        return residual.new_zeros(())
    residual = residual.detach()
    variance = batch_variance(residual, group=kernels.mesh.rows)
    asked = residual[chosen.rows]
    if len(asked) == 0 or not bool(variance > 0):
        return residual.new_zeros(())
    e_hat = revived(x[chosen.rows], encoder, W_dec, dead=dead, k_aux=k_aux, kernels=kernels)
    return chosen.share * squared_error(asked, e_hat).mean / variance
