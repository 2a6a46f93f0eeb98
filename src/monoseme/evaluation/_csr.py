"""Sparse codes as SciPy has them, and sums of their rows by group.

Letters: T tokens (rows), F latents, G groups.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from monoseme.tensors.sparse import SparseCodes

Csr = Any
"""A `scipy.sparse.csr_array`, float64 unless said otherwise; SciPy's types leave open what its arithmetic gives."""


def as_csr(code: SparseCodes, *, dtype: DTypeLike = np.float64) -> Csr:
    """Codes [T, F] as SciPy has them, the latents of a row in ascending order."""
    values = code.values.detach().cpu()
    values = values.double() if np.dtype(dtype) == np.float64 else values.float()  # NumPy has no bfloat16
    arrays = (values.numpy().astype(dtype, copy=False), code.indices.cpu().numpy(), code.offsets.cpu().numpy())
    made = sparse.csr_array(arrays, shape=(code.n_rows, code.n_latents))
    made.sort_indices()
    return made


def members(group: NDArray[np.integer[Any]], n_groups: int) -> Csr:
    """[G, T], 1 where token t is of the group; its product with codes [T, F] sums their rows by group."""
    return sparse.csr_array((np.ones(len(group)), (group, np.arange(len(group)))), shape=(n_groups, len(group)))
