"""Kernels of an SAE that several processes share: a set for what is here, and exact selections and sums over all.

**Rows divided** (each process has other rows of the batch). Everything is a matter of a row, but for selections of a batch: the n
largest are those of all processes' rows, n the sum of their n.

**Latents divided** (latent f on rank f % size, as its latent f // size). Codes hold the entries that are here, with the numbers
they have here; a row may have any number of them. The k largest of a row, or the n of a batch, are those of all latents.
What is decoded is summed over the processes, so it is whole on each.

Every process must call the same in the same order, also where it has no part in it (no dead latents): all wait for each other.
Traffic is in `docs/sharded-latents.md`.

Letters: B rows, D model width, F latents here, K entries per row, n entries in all.
"""

import torch

from monoseme.kernels._contract import Encoder, Kernels
from monoseme.kernels._sharded_select import batch_largest, candidates, entries, keep_in_rows, keep_of_batch
from monoseme.tensors.joint import read_by, summed_rows
from monoseme.tensors.processes import Mesh
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


class MeshKernels(Kernels):
    """A kernel set over a mesh of processes."""

    def __init__(self, base: Kernels, mesh: Mesh) -> None:
        """`base` does what is of one process. A mesh of one process needs none of this."""
        self.name = base.name  # pyright: ignore[reportAttributeAccessIssue]  another one's name, not that of this class
        self.mesh = mesh
        # Ranks with other rows have other factors: their gradients can only be added where they are dense.
        self.rows = base.rows if mesh.rows.size == 1 else None
        self._base = base

    def __repr__(self) -> str:
        return f"MeshKernels({self.name}, rows={self.mesh.rows.size}, latents={self.mesh.latents.size})"

    def encode_topk(
        self, x: Float[Tensor, "B D"], encoder: Encoder, k: int, *, among: Int[Tensor, " m"] | None = None
    ) -> SparseCodes:
        """Each process's own k largest, cut where the k-th of all is: B K values of each process go round."""
        group = self.mesh.latents
        if group.size == 1:
            return self._base.encode_topk(x, encoder, k, among=among)
        n_here = encoder.weight.shape[1] if among is None else among.shape[0]
        own = _none(x, encoder)
        if n_here:
            with torch.no_grad():
                own = self._base.encode_topk(x, encoder, min(k, n_here), among=among)
        most = int(group.max(torch.tensor([n_here], device=x.device)))
        return self.attach(x, encoder, self._cut_rows(own, own.values, k, width=min(k, most)))

    def encode_batch_topk(self, x: Float[Tensor, "B D"], encoder: Encoder, n: int) -> SparseCodes:
        """As `_sharded_select.batch_largest`; n counts this process's rows and is the same along the latents axis."""

        def propose(m: int) -> SparseCodes:
            return self._base.encode_batch_topk(x, encoder, m)

        with torch.no_grad():
            n_entries = x.shape[0] * encoder.weight.shape[1]
            codes = batch_largest(propose, n, n_entries=n_entries, mesh=self.mesh, device=x.device)
        return self.attach(x, encoder, codes)

    def encode_threshold(
        self, x: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
    ) -> SparseCodes:
        """A matter of each entry."""
        return self._base.encode_threshold(*self._read(x, encoder), threshold)

    def attach(self, x: Float[Tensor, "B D"], encoder: Encoder, codes: SparseCodes) -> SparseCodes:
        """Gradients of x and the centre are summed over the latents axis."""
        return self._base.attach(*self._read(x, encoder), codes)

    def decode(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """What the latents here write, summed over the latents axis; the bias is added once."""
        if self.mesh.latents.size == 1:
            return self._base.decode(codes, weight, bias)
        return summed_rows(self.mesh.latents, self._base.decode(codes, weight), bias)

    def topk(self, pre: Float[Tensor, "B F"], k: int) -> SparseCodes:
        """The k largest of each row over all latents, of which the columns are those that are here."""
        group = self.mesh.latents
        own = self._base.topk(pre, min(k, pre.shape[1]))
        if group.size == 1:
            return own
        most = int(group.max(torch.tensor([pre.shape[1]], device=pre.device)))
        return self._cut_rows(own, own.values.detach(), k, width=min(k, most))

    def batch_topk(self, pre: Float[Tensor, "B F"], n: int) -> SparseCodes:
        """As `encode_batch_topk`."""

        def propose(m: int) -> SparseCodes:
            return self._base.batch_topk(pre, m)

        return batch_largest(propose, n, n_entries=pre.numel(), mesh=self.mesh, device=pre.device)

    def threshold(self, pre: Float[Tensor, "B F"], threshold: Float[Tensor, ""] | Float[Tensor, " F"]) -> SparseCodes:
        """A matter of each entry."""
        return self._base.threshold(pre, threshold)

    def strongest_of_rows(self, codes: SparseCodes, k: int) -> SparseCodes:
        """Of the entries that all processes give."""
        group = self.mesh.latents
        if group.size == 1:
            return self._base.strongest_of_rows(codes, k)
        widths = codes.offsets.diff().max().reshape(1) if codes.n_rows else codes.offsets.new_zeros(1)
        return self._cut_rows(codes, codes.values.detach().abs(), k, width=int(group.max(widths)))

    def strongest_of_batch(self, codes: SparseCodes, n: int) -> SparseCodes:
        """Of the entries that all processes give."""
        wanted = int(self.mesh.rows.sum(torch.tensor([n], device=codes.device)))
        return entries(codes, keep_of_batch(codes, codes.values.detach().abs(), wanted, mesh=self.mesh))

    def _cut_rows(self, codes: SparseCodes, sizes: Float[Tensor, " nnz"], k: int, *, width: int) -> SparseCodes:
        """Of each row the entries that are among the k largest of all processes."""
        if width == 0:
            return codes
        found = candidates(codes, sizes, width, self.mesh.latents)
        keep = keep_in_rows(found.values, found.latents, k, group=self.mesh.latents)
        return entries(codes, keep[codes.rows(), found.column])

    def _read(self, x: Float[Tensor, "B D"], encoder: Encoder) -> tuple[Tensor, Encoder]:
        """Input and encoder whose centre and input get their whole gradient."""
        group, centre = self.mesh.latents, encoder.centre
        return read_by(group, x), encoder if centre is None else encoder._replace(centre=read_by(group, centre))


def _none(x: Float[Tensor, "B D"], encoder: Encoder) -> SparseCodes:
    """Codes without entries."""
    no_rows = torch.zeros(0, dtype=torch.int64, device=x.device)
    values = encoder.weight.new_zeros(0)
    return SparseCodes.from_rows(no_rows, no_rows, values, n_rows=x.shape[0], n_latents=encoder.weight.shape[1])
