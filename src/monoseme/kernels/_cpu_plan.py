"""The entries of sparse codes in order of their latents, for loops that go by latent: a counting sort, kept with the pattern.

Letters: F latents, nnz entries.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.kernels._compiled import serial
from monoseme.tensors.sparse import SparseCodes

Array = NDArray[Any]


class LatentOrder(NamedTuple):
    """Entries by (latent, row): those of latent f lie at `starts[f]:starts[f + 1]`."""

    starts: Array
    """[F + 1] int64."""
    order: Array
    """[nnz] int32: place of each in the codes' own order."""
    rows: Array
    """[nnz] int32: row of each."""


def latent_order(codes: SparseCodes) -> LatentOrder:
    """The order by latent of the entries, worked out once for a pattern."""
    return codes.plan("latent_order", _sorted)


def _sorted(codes: SparseCodes) -> LatentOrder:
    starts = np.zeros(codes.n_latents + 1, np.int64)
    order, rows = np.empty(codes.nnz, np.int32), np.empty(codes.nnz, np.int32)
    _counting_sort(codes.indices.numpy(), codes.offsets.numpy(), starts, order, rows)
    return LatentOrder(starts, order, rows)


@serial
def _counting_sort(latents: Array, offsets: Array, starts: Array, order: Array, rows: Array) -> None:
    """Stable: entries of one latent stay in row order."""
    for entry in range(latents.shape[0]):
        starts[latents[entry] + 1] += 1
    for latent in range(starts.shape[0] - 1):
        starts[latent + 1] += starts[latent]
    following = starts.copy()
    for row in range(offsets.shape[0] - 1):
        for entry in range(offsets[row], offsets[row + 1]):
            latent = latents[entry]
            place = following[latent]
            order[place], rows[place] = entry, row
            following[latent] = place + 1
