"""Ways to spend a fixed budget of latents: the k strongest of a row, of a batch, or the best of each of k groups.

    unsigned   relu of the pre-activation, the largest are kept
    signed     the pre-activation itself, the largest in absolute value are kept (AbsTopK)

Signed selection encodes x - b_dec and its negative and takes the strongest of both lists: an entry is positive in one of them at
most, and gradients stay sparse.

Source: Gao et al. 2024, arXiv:2406.04093 (TopK); Bussmann et al. 2024, arXiv:2412.06410 (BatchTopK); Zhu et al. 2025,
arXiv:2510.00404 (AbsTopK: signed); EleutherAI's sparsify (GroupMax: the largest of each of k runs of neighbours).
Letters: B rows, D model width, F latents, K kept per row.
"""

import torch

from monoseme.kernels import Encoder, Kernels
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


def strongest(
    kernels: Kernels,
    x: Float[Tensor, "B D"],
    encoder: Encoder,
    k: int,
    *,
    signed: bool = False,
    among: Int[Tensor, " m"] | None = None,
) -> SparseCodes:
    """The k strongest latents of each row; `among` limits the choice to those latents (ascending)."""
    if not signed:
        return _positive(kernels.encode_topk(x, encoder, k, among=among))
    up, down = (kernels.encode_topk(rows, half, k, among=among) for rows, half in _halves(x, encoder))
    return kernels.strongest_of_rows(_both(up, down), k if up.fixed_k is None else up.fixed_k)


def strongest_of_batch(
    kernels: Kernels, x: Float[Tensor, "B D"], encoder: Encoder, n: int, *, signed: bool = False
) -> SparseCodes:
    """The n strongest entries of the whole batch."""
    if not signed:
        return _positive(kernels.encode_batch_topk(x, encoder, n))
    return kernels.strongest_of_batch(_both(*(kernels.encode_batch_topk(rows, half, n) for rows, half in _halves(x, encoder))), n)


def strongest_of_groups(
    kernels: Kernels, x: Float[Tensor, "B D"], encoder: Encoder, n_groups: int, *, signed: bool = False
) -> SparseCodes:
    """The strongest latent of each of n runs of neighbours, whose sizes differ by one at most."""
    latents = torch.arange(encoder.weight.shape[1], device=x.device)
    groups = latents.tensor_split(min(n_groups, latents.shape[0]))
    best = [strongest(kernels, x, encoder, 1, signed=signed, among=group) for group in groups]
    indices = torch.stack([codes.indices for codes in best], dim=1)
    values = torch.stack([codes.values for codes in best], dim=1)
    return SparseCodes.from_topk(indices, values, latents.shape[0])


def above(
    kernels: Kernels, x: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""], *, signed: bool = False
) -> SparseCodes:
    """Every entry stronger than a threshold that is not negative (strictly)."""
    if not signed:
        return kernels.encode_threshold(x, encoder, threshold)
    return _both(*(kernels.encode_threshold(rows, half, threshold) for rows, half in _halves(x, encoder)))


def _halves(x: Float[Tensor, "B D"], encoder: Encoder) -> tuple[tuple[Tensor, Encoder], tuple[Tensor, Encoder]]:
    """Input and encoder of the pre-activations, and of their negatives."""
    centred = x if encoder.centre is None else x - encoder.centre
    return (centred, Encoder(encoder.weight, encoder.bias)), (-centred, Encoder(encoder.weight, -encoder.bias))


def _positive(codes: SparseCodes) -> SparseCodes:
    return codes.with_values(codes.values.relu())


def _both(up: SparseCodes, down: SparseCodes) -> SparseCodes:
    """Entries of both lists by row and latent, those of `down` negated; what is negative in its own list becomes zero."""
    rows = torch.cat([up.rows(), down.rows()])
    latents = torch.cat([up.indices, down.indices])
    values = torch.cat([up.values.relu(), -down.values.relu()])
    order = (rows * up.n_latents + latents).argsort(stable=True)
    return SparseCodes.from_rows(rows[order], latents[order], values[order], n_rows=up.n_rows, n_latents=up.n_latents)
