"""What a capture will write, to the byte: its text is tokenised and cut into shards by the code that captures, its files sized by
the functions that write their headers. No weights are loaded.
"""

import functools
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from monoseme.activations import SinkFilter
from monoseme.activations.store.budget import Budget
from monoseme.activations.store.capture import CapturedInput
from monoseme.activations.store.layout import Index, ShardRecord, shard_name
from monoseme.activations.store.shard_writer import NewShard, ShardKind
from monoseme.activations.store.sizes import blocks_per_shard, bytes_per_context, site_specs, text_specs
from monoseme.core.files import hash_bytes, to_json
from monoseme.models import LanguageModel, Site
from monoseme.pipeline import CaptureConfig
from monoseme.planning.text_facts import TextFacts, read_text
from monoseme.saes import SAE
from monoseme.tensors.tensor_file import TensorSpec, file_bytes
from monoseme.text import TokenStore

_NO_HASH = hash_bytes(b"")


class StoreSizes(NamedTuple):
    """Of a finished store."""

    n_shards: int
    n_tokens: int
    """Real ones: rows of each site."""
    text_bytes: int
    site_bytes: int
    """Of all sites."""
    statistics_bytes: int
    """Of the shards', and of the store's own."""
    record_bytes: int
    index_bytes: int
    largest_shard_bytes: int
    is_cut: bool
    """Whether max_bytes ends it before the text does."""

    @property
    def n_bytes(self) -> int:
        """Of every file that has a checksum in the manifest."""
        return self.text_bytes + self.site_bytes + self.statistics_bytes + self.record_bytes + self.index_bytes


class Shards(NamedTuple):
    """Those of a store before it is written."""

    records: tuple[ShardRecord, ...]
    is_cut: bool


class CaptureOutline:
    """What a plan knows of a capture without running it."""

    def __init__(self, config: CaptureConfig) -> None:
        """Loads no weights. Raises what the model's settings and the sites raise."""
        self.model = LanguageModel.sizes(config.model)
        patterns = SAE.default_sites(self.model.spec.n_layers) if config.sites is None else config.sites
        self.sites: tuple[Site, ...] = self.model.spec.sites(patterns)
        self.config = replace(config, sites=tuple(str(site) for site in self.sites))
        self.widths: Mapping[Site, int] = {site: self.model.spec.site_width(site) for site in self.sites}

    @functools.cached_property
    def store(self) -> TokenStore:
        """The text. Raises what `TokenStore.build` raises."""
        return TokenStore.build(self.config.corpus, self.model.tokenizer, max_tokens=self.config.max_tokens)

    @functools.cached_property
    def text(self) -> TextFacts:
        """The corpus, tokenised."""
        began = time.perf_counter()
        return read_text(self.store, began=began)

    @property
    def kind(self) -> ShardKind:
        """What all shards have in common."""
        context = self.config.corpus.context_len
        return ShardKind(
            widths=self.widths, dtype=self.config.storage.dtype, context_len=context, has_text=True, sink_thresholds={}
        )

    @property
    def supply(self) -> CapturedInput:
        """The blocks, of which only the text can be had."""
        sinks = SinkFilter() if self.config.drop_sinks else None
        per_block = self.config.contexts_per_block
        return CapturedInput(self.model, self.store, self.sites, contexts_per_block=per_block, filter=sinks)

    def estimated_bytes(self) -> float:
        """Before the text is read: of `max_tokens` in full contexts, or what the settings allow; infinite where nothing says."""
        config, context = self.config, self.config.corpus.context_len
        most = math.inf if config.storage.max_bytes is None else config.storage.max_bytes
        if config.max_tokens is None:
            return most
        return min(most, config.max_tokens / context * bytes_per_context(self.widths.values(), config.storage.dtype, context))

    @functools.cached_property
    def shards(self) -> "Shards":
        """How the text that was read is cut into shards."""
        kind, supply, storage = self.kind, self.supply, self.config.storage
        budget = None if storage.max_bytes is None else Budget(kind, most_bytes=storage.max_bytes)
        n = blocks_per_shard(
            kind.widths.values(), storage, context_len=kind.context_len, contexts_per_block=self.config.contexts_per_block
        )
        found: list[ShardRecord] = []
        for number in itertools.count():
            blocks = [i for i in range(number * n, (number + 1) * n) if supply.has_block(i)]
            if not blocks:
                return Shards(tuple(found), is_cut=False)
            heldout = [supply.is_heldout(i) for i in blocks]
            shard = NewShard(number=number, texts=[supply.text(i) for i in blocks], heldout=heldout)
            if budget is not None and not budget.admits(shard):
                return Shards(tuple(found), is_cut=True)
            found.append(self._record(shard))
        raise AssertionError("counting has no end")

    def sizes(self, sink_thresholds: Mapping[str, float | None] | None = None) -> StoreSizes:
        """Of the text that was read. `sink_thresholds` are written in the index; None: not known, so it may be some bytes off."""
        records, is_cut = self.shards
        statistics = _specs(self.kind.statistics(0).tensors())
        medians = {f"{site}/geometric_median": TensorSpec(torch.float64, (width,)) for site, width in self.widths.items()}
        files = {name: int(facts["bytes"]) for record in records for name, facts in record.files.items()}
        text = sum(size for name, size in files.items() if name.endswith(".text.safetensors"))
        parts = sum(size for name, size in files.items() if name.endswith(".statistics.safetensors"))
        thresholds = dict.fromkeys(map(str, self.sites)) if sink_thresholds is None else sink_thresholds
        return StoreSizes(
            n_shards=len(records),
            n_tokens=sum(record.n_rows for record in records),
            text_bytes=text,
            site_bytes=sum(files.values()) - text - parts,
            statistics_bytes=parts + file_bytes(dict(sorted((statistics | medians).items()))),
            record_bytes=sum(len(to_json(record.to_json()).encode()) for record in records),
            index_bytes=len(to_json(self._index(records, thresholds).to_json()).encode()),
            largest_shard_bytes=max((record.n_bytes for record in records), default=0),
            is_cut=is_cut,
        )

    def _record(self, shard: NewShard) -> ShardRecord:
        """Of the shard as it will be; only the checksums stand for others."""
        kind, n_contexts = self.kind, [text.n_contexts for text in shard.texts]
        parts = {str(site): site_specs(shard.n_rows, width, kind.dtype) for site, width in kind.widths.items()}
        parts["text"] = text_specs(sum(n_contexts), kind.context_len)
        parts["statistics"] = _specs(kind.statistics(shard.number).tensors())
        return ShardRecord(
            number=shard.number,
            n_contexts=sum(n_contexts),
            n_heldout=sum(n for n, heldout in zip(n_contexts, shard.heldout, strict=True) if heldout),
            n_rows=shard.n_rows,
            files={
                shard_name(shard.number, part): {"hash": _NO_HASH, "bytes": file_bytes(specs)} for part, specs in parts.items()
            },
        )

    def _index(self, records: Sequence[ShardRecord], thresholds: Mapping[str, float | None]) -> Index:
        kind = replace(self.kind, sink_thresholds=thresholds)
        index = kind.index(contexts_per_block=self.config.contexts_per_block, sink_factor=self.supply.sink_factor)
        return replace(
            index, shards=[{"n_contexts": r.n_contexts, "n_heldout": r.n_heldout, "n_rows": r.n_rows} for r in records]
        )


def _specs(tensors: Mapping[str, Tensor]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
