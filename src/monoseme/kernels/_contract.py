"""What every kernel set offers: selection, sparse encode and sparse decode, all differentiable.

Letters: B rows, D model width, F latents, K entries per row, n entries in all.

Encoders return *pre-activations* (linear, before any ReLU) at the selected entries; the architecture applies its activation to
the few values that are left. Entries of a row are ordered by latent. Ties are broken by value, then by the lowest latent (the
lowest flat index in `batch_topk`), so that sets select the same entries wherever their float32 sums agree.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from monoseme.kernels._rows import RowUpdates
from monoseme.tensors.processes import Mesh
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


class Encoder(NamedTuple):
    """pre = (x - centre) @ weight + bias."""

    weight: Float[Tensor, "D F"]
    """Stored so that its transpose is contiguous: one latent's weights lie together."""
    bias: Float[Tensor, " F"]
    centre: Float[Tensor, " D"] | None = None
    """What is taken off x first (b_dec); None for nothing."""


class Kernels(ABC):
    """One implementation of the hot loops. Stateless: an SAE keeps a choice, and `dispatch` says which set that is."""

    name: ClassVar[str]
    rows: RowUpdates | None = None
    """Optimiser steps by rows, where the set offers them."""
    mesh: Mesh = Mesh()
    """The processes that share what is selected from and summed; alone but for `_sharded.MeshKernels`."""

    @abstractmethod
    def encode_topk(
        self, x: Float[Tensor, "B D"], encoder: Encoder, k: int, *, among: Int[Tensor, " m"] | None = None
    ) -> SparseCodes:
        """The min(k, m) largest pre-activations of each row; `among` limits the choice to those latents (ascending)."""

    @abstractmethod
    def encode_batch_topk(self, x: Float[Tensor, "B D"], encoder: Encoder, n: int) -> SparseCodes:
        """The n largest pre-activations of the whole batch."""

    @abstractmethod
    def encode_threshold(
        self, x: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
    ) -> SparseCodes:
        """Every pre-activation above the threshold (strictly); one for all latents or one for each."""

    @abstractmethod
    def attach(self, x: Float[Tensor, "B D"], encoder: Encoder, codes: SparseCodes) -> SparseCodes:
        """Codes whose values are pre-activations of x, found without a graph, with values that carry the gradient back."""

    @abstractmethod
    def decode(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """codes @ weight + bias over the flattened rows."""

    @abstractmethod
    def topk(self, pre: Float[Tensor, "B F"], k: int) -> SparseCodes:
        """The k largest entries of each row of a matrix that exists already; differentiable."""

    @abstractmethod
    def batch_topk(self, pre: Float[Tensor, "B F"], n: int) -> SparseCodes:
        """The n largest entries of the whole matrix; differentiable."""

    @abstractmethod
    def threshold(self, pre: Float[Tensor, "B F"], threshold: Float[Tensor, ""] | Float[Tensor, " F"]) -> SparseCodes:
        """Every entry above the threshold (strictly); differentiable."""

    def strongest_of_rows(self, codes: SparseCodes, k: int) -> SparseCodes:
        """Of each row's entries the k largest in absolute value; every row has as many entries as any other."""
        width = codes.nnz // max(1, codes.n_rows)
        shape = (codes.n_rows, width)
        kept = self.topk(codes.values.detach().abs().reshape(shape), k).indices.reshape(codes.n_rows, min(k, width)).long()
        latents, values = (t.reshape(shape).gather(1, kept) for t in (codes.indices, codes.values))
        return SparseCodes.from_topk(latents, values, codes.n_latents)

    def strongest_of_batch(self, codes: SparseCodes, n: int) -> SparseCodes:
        """Of all entries the n largest in absolute value."""
        kept = self.batch_topk(codes.values.detach().abs().unsqueeze(0), min(n, codes.nnz)).indices.long()
        rows, latents, values = codes.rows()[kept], codes.indices[kept], codes.values[kept]
        return SparseCodes.from_rows(rows, latents, values, n_rows=codes.n_rows, n_latents=codes.n_latents)
