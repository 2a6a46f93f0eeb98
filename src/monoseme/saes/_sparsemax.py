"""Sparsemax: the point of the probability simplex nearest to a row, which is zero at most entries.

    p = argmin_{p >= 0, sum p = 1} |p - z|^2 = relu(z - tau),   tau such that the row sums to one
    dL/dz_i = g_i - mean of g over the support for i in the support, else 0

Source: Martins & Astudillo 2016, arXiv:1602.02068, propositions 1 and 2. The threshold is found as in Michelot 1986 (repeated
averages over a shrinking set), which is exact after finitely many rounds and needs no sorting.
Letters: B rows, D model width, F latents, nnz entries of the supports.
"""

from typing import NamedTuple

import torch

from monoseme.kernels import Encoder, Kernels
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes


@torch.no_grad()
def sparsemax_threshold(z: Float[Tensor, "B F"]) -> Float[Tensor, " B"]:
    """tau of each row: sum relu(z - tau) = 1. In the dtype of z."""
    top = z.amax(1, keepdim=True)
    shifted = z - top  # the largest entry is 0: sums lose nothing to a common offset
    tau = torch.full_like(top, -1.0)  # not above the answer: the largest entry alone would sum to 1 with it
    n_before = torch.zeros_like(top)
    while True:
        inside = shifted > tau
        n = inside.sum(1, keepdim=True).to(z.dtype)
        if bool((n == n_before).all()):
            return (tau + top).squeeze(1)
        tau = torch.maximum(tau, ((shifted * inside).sum(1, keepdim=True) - 1) / n)
        n_before = n


class Mixture(NamedTuple):
    """Sparsemax of a linear map."""

    codes: SparseCodes
    """Positive, summing to one in each row."""
    given: Float[Tensor, " nnz"]
    """What sparsemax was given, at these entries."""


def sparsemax_encode(x: Float[Tensor, "B D"], encoder: Encoder, kernels: Kernels) -> Mixture:
    """sparsemax((x - centre) weight + bias) as sparse codes, differentiable at the entries of the support.

    The linear map is made twice, once to find tau and once to select: so its gradient is that of nnz entries, not of B F.
    """
    centred = x if encoder.centre is None else x - encoder.centre
    tau = sparsemax_threshold(centred.detach() @ encoder.weight.detach() + encoder.bias.detach())
    # tau enters as one more column of x with weight -1, so that one threshold, 0, serves rows with different ones
    weight = torch.cat([encoder.weight.t(), encoder.weight.new_full((encoder.weight.shape[1], 1), -1.0)], 1).t()
    codes = kernels.encode_threshold(torch.cat([centred, tau.unsqueeze(1)], 1), Encoder(weight, encoder.bias), tau.new_zeros(()))
    return Mixture(codes.with_values(_summing_to_one(codes, kernels)), codes.values + tau[codes.rows()])


def _summing_to_one(codes: SparseCodes, kernels: Kernels) -> Float[Tensor, " nnz"]:
    """The values shifted alike in each row: with the support fixed, this is sparsemax and has its gradient."""
    ones = codes.values.new_ones(codes.n_latents, 1)
    n = codes.offsets.diff().clamp(min=1)
    excess = (kernels.decode(codes, ones).squeeze(1) - 1) / n
    return (codes.values - excess[codes.rows()]).relu()  # relu: entries within rounding of the edge of the support
