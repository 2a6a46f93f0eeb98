"""Stored activations as a source: blocks of contexts in any order, cut independently of how they were captured.

A shard's contexts of the split are cut into equal parts of at most `contexts_per_block`; so a block never spans shards.
Letters: m contexts of a block, S positions, D width.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch

from monoseme.activations.block import Block, Vectors
from monoseme.activations.block_order import drawn_order
from monoseme.activations.filters import TokenFilter, within
from monoseme.activations.source import SourceSeconds, iterate_blocks
from monoseme.activations.store.read_ahead import BlockCache, PageAdvice
from monoseme.activations.store.shards import Runs, Shard
from monoseme.activations.store.stored_block import StoredBlock, WideActivations
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError, EmptyCorpusError
from monoseme.core.folder import LocalFolder
from monoseme.models.site import Site
from monoseme.tensors.processes import Group
from monoseme.tensors.shapes import Bool, Int, Tensor
from monoseme.text.block import TokenBlock

if TYPE_CHECKING:
    from monoseme.activations.store.reader import StoredActivations

Split = Literal["train", "heldout", "all"]
TOKENS_PER_BLOCK = 2048
"""Enough rows for a disk to read at a stretch, few enough for a window of many blocks to reach across the store."""


class _Limits(NamedTuple):
    """Norms let through at a site."""

    longest_no_sink: float
    least: float
    most: float


class _Part(NamedTuple):
    """Where a block lies: its contexts, and those whose rows it is given as one stretch."""

    shard: Shard
    own: Runs
    held: Runs
    """The contexts from its first to its last where files are mapped, which costs nothing; at an address its own ones."""


class StoredSource:
    """The contexts of one split of a store. Made by `StoredActivations.source`."""

    any_order = True

    def __init__(
        self,
        store: "StoredActivations",
        split: Split,
        sites: Sequence[Site],
        *,
        contexts_per_block: int,
        filters: TokenFilter,
        drop_sinks: bool,
    ) -> None:
        """Reads no shard. Raises EmptyCorpusError for a split without contexts, ConfigError for a filter that cannot work."""
        self.store, self.split, self.sites = store, split, tuple(sites)
        self.widths: Mapping[Site, int] = {site: store.index.widths[str(site)] for site in self.sites}
        self.filters, self.drop_sinks = filters, drop_sinks
        self.seconds = SourceSeconds()
        self._contexts_per_block = contexts_per_block
        if filters.by_text and not store.index.has_text:
            raise ConfigError(f"{store.folder} has no text: its tokens cannot be filtered by what they are or where they stand")
        numbers = np.array([_n_contexts(facts, split) for facts in store.index.shards], dtype=np.int64)
        self._block_starts = np.concatenate([[0], np.cumsum(-(-numbers // contexts_per_block))])
        if not numbers.sum():
            raise EmptyCorpusError(f"{store.folder} holds no contexts of the split {split}")
        self._limits = {site: self._limits_of(site) for site in self.sites}
        self._cache = None if store.is_local else BlockCache(self._made)
        self._advice = PageAdvice(store.folder, self._spans) if isinstance(store.folder, LocalFolder) else None

    @property
    def n_blocks(self) -> int:
        """Blocks of one pass."""
        return int(self._block_starts[-1])

    @property
    def spec(self) -> dict[str, Any]:
        """What a manifest says of the source."""
        return {
            "kind": "stored",
            "store": self.store.content_hash,
            "split": self.split,
            "sites": [str(site) for site in self.sites],
            "contexts_per_block": self._contexts_per_block,
            "filters": to_dict(self.filters),
            "drop_sinks": self.drop_sinks,
        }

    def order(self, seed: int, epoch: int) -> Int[Tensor, " n_blocks"]:
        """A permutation drawn for each epoch."""
        return drawn_order(self.n_blocks, seed=seed, epoch=epoch)

    def will_need(self, blocks: Sequence[int]) -> None:
        """Starts to fetch the first of them, or asks the system for their pages."""
        there = [i for i in blocks if self.has_block(i)]
        if self._cache is not None:
            self._cache.will_need(there)
        elif self._advice is not None:
            self._advice.will_need(there)

    def has_block(self, i: int) -> bool:
        """Whether there is a block i."""
        return 0 <= i < self.n_blocks

    def block(self, i: int) -> Block:
        """Block i. Raises IndexError if there is none, ArtifactDamagedError, AddressError."""
        if not self.has_block(i):
            raise IndexError(f"no block {i} of {self.n_blocks}")
        began = time.perf_counter()
        block = self._made(i) if self._cache is None else self._cache.block(i)
        self.seconds = self.seconds._replace(reading=self.seconds.reading + time.perf_counter() - began)
        return block

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The blocks from `start` to the last, in the order of capture."""
        return iterate_blocks(self, start)

    def __repr__(self) -> str:
        """The store, the split and the sites."""
        return f"{self.store!r}.source({self.split!r}, sites={list(map(str, self.sites))})"

    def _limits_of(self, site: Site) -> _Limits:
        index, name = self.store.index, str(site)
        limit = index.sink_thresholds.get(name) if self.drop_sinks else None
        median = self.store.statistics.norm_quantile(site, 0.5) if self.filters.by_norm else None
        return _Limits(float("inf") if limit is None else limit, *self.filters.norm_range(median))

    def _made(self, i: int) -> Block:
        part = self._part(i)
        real, starts = part.shard.text("real", part.own).bool(), self._row_starts(part)
        place = torch.where(real, starts[:, None] + real.cumsum(1) - 1, -1)
        text = self._text(part, real)
        stored = {site: self._vectors(part, site, place) for site in self.sites}
        return StoredBlock(
            **{**text.__dict__, "mask": text.mask & self._passed(part, text, place)},
            activations=WideActivations(stored, place.shape),
            index=i,
            stored=stored,
        )

    def _part(self, i: int) -> _Part:
        number = int(np.searchsorted(self._block_starts, i, side="right")) - 1
        first, stop = self._block_starts[number : number + 2]
        shard = self.store.shards[number]
        contexts = torch.arange(len(shard.heldout))
        if self.split != "all":
            contexts = contexts[shard.heldout == (self.split == "heldout")]
        mine = contexts[Group(rank=int(i - first), size=int(stop - first)).part_of(len(contexts))]
        own = shard.runs(mine)
        held = shard.runs(torch.arange(int(mine[0]), int(mine[-1]) + 1)) if self.store.is_local else own
        return _Part(shard, own, held)

    def _row_starts(self, part: _Part) -> Int[Tensor, " m"]:
        """First row of each context, counted in those that are held."""
        starts, held = part.shard.row_starts, part.held.contexts
        n_rows = starts[held + 1] - starts[held]
        before = n_rows.cumsum(0) - n_rows
        return before[torch.searchsorted(held, part.own.contexts)]

    def _text(self, part: _Part, real: Bool[Tensor, "m S"]) -> TokenBlock:
        def read(name: str) -> Tensor:
            return part.shard.text(name, part.own)

        return TokenBlock(
            tokens=read("tokens").long(),
            mask=read("mask").bool(),
            real=real,
            documents=read("documents"),
            sources=read("sources"),
            positions=read("positions").long(),
            roles=read("roles"),
            turns=read("turns"),
        )

    def _vectors(self, part: _Part, site: Site, place: Int[Tensor, "m S"]) -> Vectors:
        mapped = part.shard.mapped_vectors(site, *part.held.rows[0]) if self.store.is_local else None
        rows = part.shard.vectors(site, part.held) if mapped is None else mapped
        scale = part.shard.column(site, "scale", part.held) if self.store.index.dtype == "int8" else None
        return Vectors(rows, scale, place.flatten(), torch.float32)

    def _passed(self, part: _Part, text: TokenBlock, place: Int[Tensor, "m S"]) -> Bool[Tensor, "m S"]:
        """What is no attention sink at any of the sites, and passes the filters."""
        passed = self.filters.passed_text(text) & text.real
        for site, limits in self._limits.items():
            if limits != (float("inf"), 0.0, float("inf")):
                norms = part.shard.column(site, "norm", part.held)[place]
                passed &= ~((norms > limits.longest_no_sink) & norms.isfinite())
                if self.filters.by_norm:
                    passed &= within(norms, limits.least, limits.most)
        return passed

    def _spans(self, i: int) -> list[tuple[str, int, int]]:
        part = self._part(i)
        return [span for site in self.sites for span in part.shard.spans_of(site, part.held)]


def _n_contexts(facts: Mapping[str, int], split: Split) -> int:
    heldout = facts["n_heldout"]
    return {"all": facts["n_contexts"], "heldout": heldout, "train": facts["n_contexts"] - heldout}[split]
