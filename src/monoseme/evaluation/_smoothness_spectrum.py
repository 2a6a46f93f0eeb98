"""Energy of signals in chosen frequencies, from their entries alone.

A latent fires on few of a stretch's tokens, so that its entries times the rows of a Fourier matrix are far less work than a fast
Fourier transform of mostly zeros, and no length is a bad one.

Letters: A series, T tokens of a stretch, K frequencies.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse

from monoseme.evaluation._signals import Series
from monoseme.tensors.shapes import Float, Tensor

_BLOCK = 1 << 22
"""Numbers at once of series times frequencies (32 MB)."""

Bins = Callable[[int], Tensor]
"""Tokens T -> a weight for each of the T // 2 + 1 frequencies k / T of a real signal."""


def energy(of: Series, bins: Bins) -> Float[Tensor, " A"]:
    """sum_k w_k |F_k|^2 for each series, F its discrete Fourier transform over its stretch and w what `bins` gives."""
    made = np.zeros(of.n_series)
    length, longest = of.length, of.longest
    matrix = sparse.csr_matrix((of.value.numpy(), of.time.numpy(), of.first.numpy()), shape=(of.n_series, longest))
    for n_tokens in torch.unique(length).tolist():
        chosen = (length == n_tokens).nonzero().squeeze(1).numpy()
        basis = _basis(n_tokens, bins(n_tokens), n_rows=longest)
        step = max(1, _BLOCK // max(1, basis.shape[1]))
        for i in range(0, len(chosen), step):
            rows = chosen[i : i + step]
            found = matrix[rows] @ basis
            made[rows] = np.einsum("ak,ak->a", found, found)
    return torch.from_numpy(made)


def _basis(n_tokens: int, weights: Tensor, *, n_rows: int) -> np.ndarray:
    """[n_rows, 2K]: cosines and sines of the frequencies that have a weight, times its root; T rows of it count."""
    kept = weights.nonzero().squeeze(1)
    # The product is reduced before the cosine, which would lose digits of large angles.
    turns = (torch.arange(n_rows)[:, None] * kept) % n_tokens
    angle = turns.double() * (2 * math.pi / n_tokens)
    root = weights[kept].double().sqrt()
    return torch.cat([angle.cos() * root, angle.sin() * root], dim=1).numpy()
