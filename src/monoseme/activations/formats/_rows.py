"""Stretches of rows, and types of numbers: what formats share. Letters: R rows, D width, n contexts, S positions."""

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.store.config import StoredDtype
from monoseme.core.errors import ForeignError
from monoseme.tensors.shapes import Tensor

_KEEPS: dict[torch.dtype, StoredDtype] = {
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
    torch.float32: "float32",
    torch.float64: "float32",
}
"""float64 is rounded: no model computes in it."""


def stored_dtype(tensor: Tensor, where: str) -> StoredDtype:
    """Our type for the numbers of a tensor. Raises ForeignError for one that holds no activations."""
    if tensor.dtype not in _KEEPS:
        raise ForeignError(f"{where} holds numbers of {tensor.dtype}, which are no activations")
    return _KEEPS[tensor.dtype]


def as_rows(tensor: Tensor, *, like: Tensor | torch.dtype, width: int, where: str) -> Tensor:
    """The tensor as rows [R, D]; float64 as float32. Raises ForeignError for another width or type than the store's."""
    dtype = like if isinstance(like, torch.dtype) else like.dtype
    if tensor.ndim < 2 or tensor.shape[-1] != width or tensor.dtype != dtype:
        raise ForeignError(
            f"{where} holds {tuple(tensor.shape)} numbers of {tensor.dtype}; the first file has rows of {width} of {dtype}"
        )
    rows = tensor.flatten(0, -2)
    return rows.float() if rows.dtype is torch.float64 else rows


class Stretches:
    """Runs of rows cut into contexts of at most S rows: none reaches over the end of its run."""

    def __init__(self, bounds: NDArray[np.int64], context_len: int) -> None:
        """Run r has the rows [bounds[r], bounds[r + 1])."""
        per_run = -(-np.diff(bounds) // context_len)
        self.run = np.repeat(np.arange(len(per_run)), per_run)
        """[n] the run of each context."""
        before = np.repeat(np.cumsum(per_run) - per_run, per_run)
        self.offset = (np.arange(len(self.run)) - before) * context_len
        """[n] first row, counted within the run."""
        self.start = bounds[self.run] + self.offset
        """[n] first row."""
        self.length = np.minimum(bounds[self.run + 1] - self.start, context_len)
        """[n] rows."""
