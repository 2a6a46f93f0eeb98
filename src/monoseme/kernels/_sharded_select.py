"""Which entries are among the largest of all when each process holds some of them: exact, with the ties of one process.

Each process proposes its own largest values and gathers those of all; no process sees a matrix of all entries. Ties are broken
as in one process, by the lowest latent of the whole dictionary (in a row) or the lowest flat index of the whole matrix (in a
batch): a process's own selection proposes the lowest of its tied entries first, and its order of entries is that of the whole.

Where values are tied at a cut, and only there, latents or flat indices are gathered as well. All processes decide this from the
same gathered values, so that all take part. NaN counts as largest, as in the kernels.

Letters: B rows, K candidates per row, n entries wanted in all.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from monoseme.tensors.processes import Group, Mesh
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_SPARE = 1.25
"""A process first proposes so many times its even share of a batch's entries, and more where that was too few."""


def keep_in_rows(values: Float[Tensor, "B K"], latents: Int[Tensor, "B K"], k: int, *, group: Group) -> Bool[Tensor, "B K"]:
    """Which of this process's candidates are among the k largest of their row over the group.

    K is the same on all processes. `latents` are numbers in the whole dictionary, int64; what fills up a row is minus infinity
    at a latent that there is not, larger than all.
    """
    every = torch.cat(group.gather(values), 1)
    if every.shape[1] <= k:
        return torch.ones_like(values, dtype=torch.bool)
    best = every.topk(k + 1, dim=1).values
    cut = best[:, k - 1 : k]
    keep = values >= cut
    # The set is unique if the last one in beats the first one out; written so that NaN counts as a tie.
    open_rows = (~(cut > best[:, k:]).squeeze(1) | best[:, 0].isnan()).nonzero().squeeze(1)
    if open_rows.numel():
        keep[open_rows] = _settled(every[open_rows], latents[open_rows], k, group)
    return keep


def _settled(every: Float[Tensor, "T all"], latents: Int[Tensor, "T K"], k: int, group: Group) -> Bool[Tensor, "T K"]:
    """The same for rows with a tie at the cut: by value, then by latent."""
    by_latent = torch.cat(group.gather(latents), 1).argsort(dim=1, stable=True)
    order = every.gather(1, by_latent).sort(dim=1, descending=True, stable=True).indices[:, :k]
    kept = torch.zeros_like(every, dtype=torch.bool).scatter_(1, by_latent.gather(1, order), value=True)
    width = latents.shape[1]
    return kept[:, group.rank * width : (group.rank + 1) * width]


class Place(NamedTuple):
    """Where this process's rows and latents stand among all."""

    first_row: int
    """Rows of the ranks before this one."""
    n_latents: int
    """Of the whole dictionary."""

    def flat(self, codes: SparseCodes, latents: Group) -> Int[Tensor, " nnz"]:
        """Index of each entry in the whole matrix, row by row; int64."""
        own = codes.indices.long() * latents.size + latents.rank
        return (codes.rows() + self.first_row) * self.n_latents + own


def place_of(n_rows: int, n_latents: int, mesh: Mesh, device: torch.device) -> Place:
    """Of a process with so many rows and latents; asks all others."""
    counts = mesh.rows.gather(torch.tensor([n_rows], device=device))
    first_row = sum(int(n) for n in counts[: mesh.rows.rank])
    return Place(first_row, int(mesh.latents.sum(torch.tensor([n_latents], device=device))))


class _Cut(NamedTuple):
    """What the gathered values say."""

    value: Tensor
    """The smallest that is kept, 0-d; minus infinity where all are."""
    n_at: int
    """Entries of that value which are kept."""
    tied: bool
    """Whether there are more of that value."""


def _cut_of(every: Float[Tensor, " all"], n: int) -> _Cut:
    if every.numel() <= n:
        return _Cut(every.new_full((), -torch.inf), n, tied=False)
    value = every.topk(n, sorted=False).values.min()
    n_at = n - int((every > value).sum())
    return _Cut(value, n_at, int((every == value).sum()) > n_at)


def keep_of_batch(codes: SparseCodes, sizes: Float[Tensor, " nnz"], n: int, *, mesh: Mesh) -> Bool[Tensor, " nnz"]:
    """Which of this process's entries are among the n largest of all by `sizes`, where every process gives all that may be."""
    every = gathered(sizes, mesh)
    return _kept(codes, sizes, _cut_of(every, n), mesh)


def _kept(codes: SparseCodes, sizes: Float[Tensor, " nnz"], cut: _Cut, mesh: Mesh) -> Bool[Tensor, " nnz"]:
    if not cut.tied:
        return sizes >= cut.value
    at = sizes == cut.value
    flat = place_of(codes.n_rows, codes.n_latents, mesh, codes.device).flat(codes, mesh.latents)
    last = gathered(flat[at], mesh).sort().values[cut.n_at - 1]
    return (sizes > cut.value) | (at & (flat <= last))


def batch_largest(
    propose: Callable[[int], SparseCodes], n: int, *, n_entries: int, mesh: Mesh, device: torch.device
) -> SparseCodes:
    """This process's part of the largest entries of the whole batch: as many as the rows ranks' n together.

    `propose` gives the so many largest of this process, out of `n_entries`, in row-major order. Processes propose somewhat more
    than an even share; where all that one proposed is kept, it may hold more, and all propose twice as many, at most n each.
    """
    wanted = int(mesh.rows.sum(torch.tensor([n], device=device)))
    asked = min(wanted, int(_SPARE * wanted / (mesh.rows.size * mesh.latents.size)) + 1)
    while True:
        codes = propose(min(asked, n_entries))
        sizes = codes.values.detach().nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
        cut = _cut_of(gathered(sizes, mesh), wanted)
        complete = codes.nnz >= min(wanted, n_entries) or bool(sizes.min() < cut.value)
        if bool(everywhere(torch.tensor(complete, device=device), mesh)):
            return entries(codes, _kept(codes, sizes, cut, mesh))
        asked = min(wanted, 2 * asked)


def everywhere(yes: Bool[Tensor, ""], mesh: Mesh) -> Bool[Tensor, ""]:
    """Whether it holds on every process of the mesh."""
    return ~mesh.latents.max(mesh.rows.max(~yes))


def gathered(values: Tensor, mesh: Mesh) -> Tensor:
    """What every process of the mesh has, joined along the first axis; the same everywhere."""
    return torch.cat(mesh.latents.gather_rows(torch.cat(mesh.rows.gather_rows(values))))


def entries(codes: SparseCodes, keep: Bool[Tensor, " nnz"]) -> SparseCodes:
    """The marked entries, with their graph."""
    rows, latents, values = codes.rows()[keep], codes.indices[keep], codes.values[keep]
    return SparseCodes.from_rows(rows, latents, values, n_rows=codes.n_rows, n_latents=codes.n_latents)


class Candidates(NamedTuple):
    """A ragged code as a matrix."""

    values: Float[Tensor, "B K"]
    """Minus infinity where a row has fewer."""
    latents: Int[Tensor, "B K"]
    """In the whole dictionary; int64, beyond all where a row has fewer."""
    column: Int[Tensor, " nnz"]
    """Of each entry."""


def candidates(codes: SparseCodes, sizes: Float[Tensor, " nnz"], width: int, latents: Group) -> Candidates:
    """Entries of codes in `width` columns; no row has more."""
    rows = codes.rows()
    column = torch.arange(codes.nnz, device=codes.device) - codes.offsets[:-1][rows]
    values = sizes.new_full((codes.n_rows, width), -torch.inf)
    numbers = torch.full((codes.n_rows, width), torch.iinfo(torch.int64).max, device=codes.device)
    values[rows, column] = sizes
    numbers[rows, column] = codes.indices.long() * latents.size + latents.rank
    return Candidates(values, numbers, column)
