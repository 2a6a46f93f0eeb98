"""When so many latents are active that a dense product beats sparse ones, and the four products done that way.

A variable number of active latents may be a few dozen or, before a ReLU has learned to be sparse, half of all. Sparse products
cost in proportion to the entries, dense ones do not: the crossover depends on who does the sparse ones.

Letters: B rows, b rows of a chunk, D model width, F latents, nnz entries in all.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from monoseme.kernels._products import Products
from monoseme.kernels._screen_product import MklProduct, ScreenProduct
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_CHUNK_ELEMENTS = 2**22
"""Of a dense part of the codes: 16 MB of float32, below the size at which glibc maps fresh pages."""
_CHUNK_ROWS = 256
"""Never fewer rows than this: the weights are read once per chunk."""
_FEW_ENTRIES = 2**16
"""With fewer, neither way takes long, and the sparse one keeps its order of summation."""


def suits_dense(codes: SparseCodes, *, share: float) -> bool:
    """Whether more than `share` of the matrix is stored, and enough for the choice to matter."""
    return codes.nnz > max(_FEW_ENTRIES, share * codes.n_rows * codes.n_latents)


class Moves(NamedTuple):
    """How entries get into a dense matrix and out of it; both take the codes, the first row, and b rows of F."""

    scatter: Callable[[SparseCodes, int, Float[Tensor, "b F"]], None]
    """Overwrites the matrix with the values of the codes' rows from the first on, zero elsewhere."""
    pick: Callable[[SparseCodes, int, Float[Tensor, "b F"], Float[Tensor, " nnz"]], None]
    """Writes what the matrix has at the entries of these rows to their places in the last argument."""


class DenseProducts(Products):
    """The four products by dense matrix products over some rows at a time."""

    def __init__(self, moves: Moves, totals: Products, product: Callable[[], ScreenProduct] = MklProduct) -> None:
        """`totals` adds up values, for which nothing dense is needed; `product` says what multiplies, if not torch itself."""
        self._moves = moves
        self._totals = totals
        self._product = product

    def weighted_rows(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """One product for each chunk."""
        out = weight.new_empty(codes.n_rows, weight.shape[1])
        product = self._product()
        packed = product.packed(weight.t())
        for first, part in _chunks(codes, weight):
            self._moves.scatter(codes, first, part)
            product.product(part, packed, out[first : first + len(part)])
        return out if bias is None else out.add_(bias)

    def dots(self, codes: SparseCodes, rows: Float[Tensor, "B D"], weight: Float[Tensor, "F D"]) -> Float[Tensor, " nnz"]:
        """All products of rows and latents, of which some are kept."""
        out = rows.new_empty(codes.nnz)
        product = self._product()
        packed = product.packed(weight)
        for first, part in _chunks(codes, weight):
            product.product(rows[first : first + len(part)], packed, part)
            self._moves.pick(codes, first, part, out)
        return out

    def latent_sums(self, codes: SparseCodes, rows: Float[Tensor, "B D"]) -> Float[Tensor, "F D"]:
        """Chunks are added in their order."""
        out = rows.new_zeros(codes.n_latents, rows.shape[1])
        for first, part in _chunks(codes, rows):
            self._moves.scatter(codes, first, part)
            out.addmm_(part.t(), rows[first : first + len(part)])
        return out

    def latent_totals(self, codes: SparseCodes) -> Float[Tensor, " F"]:
        """The sparse sum."""
        return self._totals.latent_totals(codes)


def _chunks(codes: SparseCodes, like: Tensor) -> Iterator[tuple[int, Float[Tensor, "b F"]]]:
    """First row of each chunk, and room for its dense rows: the same room each time."""
    n_rows = min(codes.n_rows, max(_CHUNK_ROWS, _CHUNK_ELEMENTS // codes.n_latents))
    room = like.new_empty(n_rows, codes.n_latents)
    for first in range(0, codes.n_rows, n_rows):
        yield first, room[: min(n_rows, codes.n_rows - first)]


def scatter_with_torch(codes: SparseCodes, first: int, part: Float[Tensor, "b F"]) -> None:
    """`Moves.scatter` on any device."""
    where, start, end = _places(codes, first, part)
    part.zero_().view(-1)[where] = codes.values.detach()[start:end].to(part.dtype)


def pick_with_torch(codes: SparseCodes, first: int, part: Float[Tensor, "b F"], out: Float[Tensor, " nnz"]) -> None:
    """`Moves.pick` on any device."""
    where, start, end = _places(codes, first, part)
    torch.index_select(part.view(-1), 0, where, out=out[start:end])


class _Places(NamedTuple):
    flat: Tensor
    start: int
    end: int


def _places(codes: SparseCodes, first: int, part: Tensor) -> _Places:
    """Where in the flattened part the entries of its rows lie, and which entries these are."""
    offsets = codes.offsets[first : first + len(part) + 1]
    start, end = int(offsets[0]), int(offsets[-1])
    rows = torch.repeat_interleave(offsets.diff(), output_size=end - start)
    return _Places(rows * codes.n_latents + codes.indices[start:end], start, end)
