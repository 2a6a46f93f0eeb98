"""Dead latents: counted in tokens, revived by the auxiliary loss AuxK.

Letters: B rows, D model width, F latents.
Source: Gao et al. 2024 (arXiv:2406.04093), appendix A.2.
"""

import math

import torch

from monoseme.kernels import Encoder, Kernels
from monoseme.saes._squared_error import squared_error
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

ALL_ROWS = slice(None)


def default_k_aux(d_in: int) -> int:
    """The power of two nearest to D / 2 on the log scale (128 for D = 192, 512 for 768); Gao et al. take one close to it."""
    return 2 ** max(0, round(math.log2(d_in / 2)))


def fired_latents(active: SparseCodes) -> Bool[Tensor, " F"]:
    """Which latents have a value other than zero somewhere."""
    totals = active.values.new_zeros(active.n_latents).index_add_(0, active.indices, (active.values != 0).to(active.values.dtype))
    return totals != 0


@torch.no_grad()
def count_tokens(tokens_since_fired: Int[Tensor, " F"], active: SparseCodes) -> None:
    """Adds the batch's rows to every latent's count of tokens without firing and resets those that fired, in place."""
    tokens_since_fired.add_(active.n_rows)
    tokens_since_fired.masked_fill_(fired_latents(active), 0)


@torch.no_grad()
def still_dead(dead: Bool[Tensor, " F"], active: SparseCodes) -> Int[Tensor, " m"]:
    """Latents that were dead before this batch and do not fire in it, ascending."""
    if bool(dead.any()):
        dead = dead & ~fired_latents(active)
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


def auxk(
    x: Float[Tensor, "B D"],
    residual: Float[Tensor, "B D"],
    encoder: Encoder,
    W_dec: Float[Tensor, "F D"],
    *,
    dead: Int[Tensor, " m"],
    k_aux: int,
    kernels: Kernels,
    turn: slice = ALL_ROWS,
) -> Float[Tensor, ""]:
    """How badly the k_aux strongest dead latents of each row explain what the live ones left over; 0 when nothing is dead.

        mean_b ||e - e_hat||^2 / mean_b ||e - mean_b e||^2,   e = residual, e_hat as in `revived`

    e is detached, and x is in the space of the weights. The first mean is over the rows of `turn` alone, the second over all.
    Zero too if the residual has no variance (a single row). Sums are in the dtype of x.
    """
    if dead.numel() == 0:
        return residual.new_zeros(())
    residual = residual.detach()
    variance = torch.linalg.vector_norm(residual - residual.mean(0), dim=1).square().mean()
    if not bool(variance > 0):
        return residual.new_zeros(())
    e_hat = revived(x[turn], encoder, W_dec, dead=dead, k_aux=k_aux, kernels=kernels)
    return squared_error(residual[turn], e_hat).mean / variance
