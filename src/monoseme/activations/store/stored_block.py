"""A block of stored activations: views of the files until someone asks for numbers. Letters: m contexts, S positions, D width."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from monoseme.activations.block import Block, Vectors
from monoseme.kernels.gather import RowTable, gather_rows
from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor


@dataclass(frozen=True)
class StoredBlock(Block):
    """Contexts of a store. `vectors` converts nothing; `activations` gives float32 [m, S, D], zeros at padding."""

    stored: Mapping[Site, Vectors]

    def vectors(self, site: Site) -> Vectors:
        """The activations at a site as they lie in the file."""
        return self.stored[site]


class WideActivations(Mapping[Site, Tensor]):
    """Stored vectors as float32 [m, S, D], converted when first asked for and then kept as long as the block is."""

    def __init__(self, stored: Mapping[Site, Vectors], shape: torch.Size) -> None:
        """Converts nothing; `shape` is [m, S]."""
        self._stored, self._shape = stored, shape
        self._wide: dict[Site, Tensor] = {}

    def __getitem__(self, site: Site) -> Tensor:
        """The vectors at a site. Raises KeyError."""
        if site not in self._wide:
            self._wide[site] = _widened(self._stored[site]).unflatten(0, self._shape)
        return self._wide[site]

    def __iter__(self) -> Iterator[Site]:
        """The sites."""
        return iter(self._stored)

    def __len__(self) -> int:
        """How many sites."""
        return len(self._stored)


def _widened(vectors: Vectors) -> Tensor:
    """One row for each place."""
    row = torch.arange(len(vectors.rows)) if vectors.place is None else vectors.place
    out = torch.empty(len(row), vectors.rows.shape[1], dtype=vectors.given_as)
    gather_rows([RowTable(vectors.rows, vectors.scale)], torch.zeros_like(row), row, out)
    return out
