"""The shards of a store while they are read: mapped where they lie on this machine, fetched by ranges at an address.

Letters: n contexts of a shard, S positions, R rows, D width.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from monoseme.activations.store.layout import Index, shard_name
from monoseme.activations.store.sizes import site_specs, text_specs
from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.folder import Folder, LocalFolder
from monoseme.models.site import Site
from monoseme.tensors.shapes import Int, Tensor
from monoseme.tensors.tensor_file import TensorPlace, read_header, require_tensors

_MOST_OPEN = 256
"""Shards kept open. A window of blocks drawn from the whole store is in few more; opening one again reads its headers."""


class Runs(NamedTuple):
    """Some of the contexts of a shard, in order, and their rows."""

    contexts: Int[Tensor, " m"]
    spans: list[tuple[int, int]]
    """Contexts in stretches that follow each other: from, to."""
    rows: list[tuple[int, int]]
    """Rows of each stretch: from, to."""


class Shard:
    """One shard. Text is read into memory of its own; vectors of a mapped file are views of it."""

    def __init__(self, folder: Folder, index: Index, number: int) -> None:
        """Reads which contexts are held out and how many rows each has. Raises ArtifactDamagedError."""
        self._folder, self._index, self._number = folder, index, number
        self._headers: dict[str, dict[str, TensorPlace]] = {}
        self._maps: dict[str, Tensor] = {}
        facts = index.shards[number]
        self.heldout = self._whole("heldout", facts["n_contexts"]).bool()
        # By numpy, which adds up in small pieces: torch widens the whole first, and such passing tensors fray the heap.
        n_real = torch.from_numpy(self._whole("real", facts["n_contexts"]).numpy().sum(axis=1, dtype=np.int64))
        self.row_starts: Int[Tensor, " n+1"] = torch.cat([torch.zeros(1, dtype=torch.int64), n_real.cumsum(0)])
        """Context c has the rows [row_starts[c], row_starts[c + 1])."""
        if int(self.row_starts[-1]) != facts["n_rows"] or int(self.heldout.sum()) != facts["n_heldout"]:
            where = f"{self._folder}/{shard_name(self._number, 'text')}"
            raise ArtifactDamagedError(f"{where} does not hold the contexts that the index tells of")

    def runs(self, contexts: Int[Tensor, " m"]) -> Runs:
        """The stretches of ascending contexts."""
        cuts = ((contexts.diff() != 1).nonzero().squeeze(1) + 1).tolist()
        firsts, lasts = [0, *cuts], [*cuts, len(contexts)]
        spans = [(int(contexts[a]), int(contexts[b - 1]) + 1) for a, b in zip(firsts, lasts, strict=True)]
        return Runs(contexts, spans, [(int(self.row_starts[a]), int(self.row_starts[b])) for a, b in spans])

    def text(self, name: str, runs: Runs) -> Tensor:
        """A tensor of the text file for these contexts."""
        return self._copied("text", name, runs.spans)

    def column(self, site: Site, name: str, runs: Runs) -> Tensor:
        """`norm` or `scale` of the contexts' rows, one stretch after the other."""
        return self._copied(str(site), name, runs.rows)

    def vectors(self, site: Site, runs: Runs) -> Tensor:
        """The contexts' rows [r, D], one stretch after the other."""
        return self._copied(str(site), "x", runs.rows)

    def mapped_vectors(self, site: Site, first: int, last: int) -> Tensor | None:
        """The rows [first, last) as a view of the file; None where it is not mapped."""
        place = self._place(str(site), "x")
        if not isinstance(self._folder, LocalFolder) or place.start % place.dtype.itemsize:
            return None
        return self._view(str(site), place, first, last)

    def spans_of(self, site: Site, runs: Runs) -> list[tuple[str, int, int]]:
        """File, first and last byte of the contexts' vectors."""
        name, place = shard_name(self._number, str(site)), self._place(str(site), "x")
        row_bytes = (place.stop - place.start) // max(place.shape[0], 1)
        return [(name, place.start + a * row_bytes, place.start + b * row_bytes) for a, b in runs.rows]

    def _whole(self, name: str, n_contexts: int) -> Tensor:
        return self._view("text", self._place("text", name), 0, n_contexts)

    def _place(self, part: str, name: str) -> TensorPlace:
        if part not in self._headers:
            self._headers[part] = shard_header(self._folder, self._index, self._number, part)
        return self._headers[part][name]

    def _copied(self, part: str, name: str, stretches: Sequence[tuple[int, int]]) -> Tensor:
        place = self._place(part, name)
        whole = torch.empty(sum(b - a for a, b in stretches), *place.shape[1:], dtype=place.dtype)
        done = 0
        for a, b in stretches:
            whole[done : done + b - a] = self._view(part, place, a, b)
            done += b - a
        return whole

    def _view(self, part: str, place: TensorPlace, first: int, last: int) -> Tensor:
        """Entries [first, last) of the tensor along its first axis."""
        entry = (place.stop - place.start) // max(place.shape[0], 1)
        start, stop = place.start + first * entry, place.start + last * entry
        data = self._bytes(shard_name(self._number, part), start, stop)
        if data.storage_offset() % place.dtype.itemsize:  # only the first tensor of a file is sure to be aligned
            data = data.clone()
        return data.view(place.dtype).view(last - first, *place.shape[1:])

    def _bytes(self, name: str, start: int, stop: int) -> Tensor:
        if stop <= start:
            return torch.empty(0, dtype=torch.uint8)
        if not isinstance(self._folder, LocalFolder):
            return torch.frombuffer(bytearray(self._folder.read(name, start, stop)), dtype=torch.uint8)
        if name not in self._maps:
            self._maps[name] = _mapped(self._folder, name)
        return self._maps[name][start:stop]


def shard_header(folder: Folder, index: Index, number: int, part: str) -> dict[str, TensorPlace]:
    """Where the tensors of a shard's file lie: part "text" or a site.

    Raises ArtifactDamagedError where they are not of the types and shapes that the index tells of.
    """
    facts, name = index.shards[number], shard_name(number, part)
    if part == "text":
        wanted = text_specs(facts["n_contexts"], index.context_len)
    else:
        wanted = site_specs(facts["n_rows"], index.widths[part], index.dtype)
    header = read_header(folder, name)
    require_tensors(header, wanted, where=f"{folder}/{name}")
    return header


class Shards:
    """The shards of a store, opened when first asked for; those asked for longest ago are closed. Serves several threads."""

    def __init__(self, folder: Folder, index: Index) -> None:
        """Opens none."""
        self._folder, self._index = folder, index
        self._open: OrderedDict[int, Shard] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> Shard:
        """A shard. Raises ArtifactDamagedError, AddressError."""
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
                return self._open[number]
        shard = Shard(self._folder, self._index, number)
        with self._lock:
            self._open[number] = shard
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
        return shard


def _mapped(folder: LocalFolder, name: str) -> Tensor:
    """The bytes of a file as a tensor over its pages, never written.

    By torch and not by `Folder.map`: a numpy map holds a file descriptor, of which a process has few, and torch warns of arrays
    that cannot be written.
    """
    file = folder.path / name
    try:
        storage = torch.UntypedStorage.from_file(str(file), shared=False, nbytes=file.stat().st_size)
    except (OSError, RuntimeError) as error:
        raise ArtifactDamagedError(f"{file} cannot be read: {error}") from error
    return torch.empty(0, dtype=torch.uint8).set_(storage)  # pyright: ignore[reportArgumentType] - its stub lacks untyped ones
