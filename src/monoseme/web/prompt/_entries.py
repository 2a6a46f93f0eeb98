"""The codes of a text as columns: one entry for each token, site and latent that fired. All on the CPU, in numpy.

Letters: E entries.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.tensors.shapes import Int, Tensor
from monoseme.tensors.sparse import SparseCodes

Numbers = NDArray[np.int64]
Values = NDArray[np.float64]


class Entries(NamedTuple):
    """Columns [E], by position, then layer, then strongest first; ties by latent."""

    position: Numbers
    layer: Numbers
    latent: Numbers
    value: Values

    def where(self, keep: NDArray[np.bool_]) -> "Entries":
        """The entries that are marked, in the same order."""
        return Entries(self.position[keep], self.layer[keep], self.latent[keep], self.value[keep])

    def strongest(self, n: int) -> "Entries":
        """At most n entries of each (position, layer)."""
        starts = np.flatnonzero(np.diff(self.position, prepend=-1) | np.diff(self.layer, prepend=-1))
        rank = np.arange(len(self.value)) - np.repeat(starts, np.diff(starts, append=len(self.value)))
        return self.where(rank < n)


class OverText(NamedTuple):
    """Entries gathered by latent, M latents."""

    latents: Numbers
    """[M], in order."""
    which: Numbers
    """[E], the row of `latents` of each entry."""
    peaks: Numbers
    """[M], the entry of the largest size; the first of such in the text, at the first layer."""

    def by_strength(self, entries: Entries) -> list[int]:
        """The rows of `latents`, strongest first; ties by number."""
        return np.lexsort((self.latents, -np.abs(entries.value[self.peaks]))).tolist()


def over_text(entries: Entries) -> OverText:
    """The latents among the entries."""
    latents, which = np.unique(entries.latent, return_inverse=True)
    size, largest = np.abs(entries.value), np.zeros(len(latents))
    np.maximum.at(largest, which, size)
    strongest = np.flatnonzero(size == largest[which])  # in the order of the text
    return OverText(latents, which, strongest[np.unique(which[strongest], return_index=True)[1]])


def entries_of(codes: Sequence[SparseCodes], positions: Int[Tensor, " T"]) -> Entries:
    """The entries of codes [T, F], one for each layer; `positions` are those of the T tokens."""
    at = positions.cpu().numpy()
    columns = [
        (at[code.rows().cpu().numpy()], np.full(code.nnz, layer), code.indices.cpu().numpy(), code.values.float().cpu().numpy())
        for layer, code in enumerate(codes)
    ]
    position, layer, latent, value = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((latent, -np.abs(value), layer, position))
    return Entries(
        position[order].astype(np.int64),
        layer[order].astype(np.int64),
        latent[order].astype(np.int64),
        value[order].astype(np.float64),
    )


def shortened(values: Values) -> list[float]:
    """To 6 significant digits: float32 has hardly more, and they take a third of the bytes."""
    return [float(f"{value:.6g}") for value in values.tolist()]
