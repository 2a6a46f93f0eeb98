"""Writing an `activations` artifact: from anything that has contexts and their vectors to a finished store.

A shard is a whole number of blocks; which ones is a pure function of the settings and the text. So a capture that was stopped at
any moment goes on with the shards it lacks, several processes each make their own, and the store is the same one, byte for byte.
"""

import contextlib
import dataclasses
import datetime
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from monoseme.activations.store.budget import Budget
from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.finish import StoreSummary, finish_store, summary_of
from monoseme.activations.store.layout import Index, ShardRecord, shard_name
from monoseme.activations.store.shard_text import text_tensors
from monoseme.activations.store.shard_writer import NewShard, ShardKind, ShardWriter
from monoseme.activations.store.sizes import blocks_per_shard, bytes_per_context
from monoseme.activations.store.started import Started, begin_store
from monoseme.activations.store.supply import Inputs, StoreInput
from monoseme.core.config import to_dict
from monoseme.core.display import Progress, get_display
from monoseme.core.errors import Interrupted, ResumeError
from monoseme.core.folder import Folder
from monoseme.core.interrupt import StopWish, stop_wish
from monoseme.tensors.processes import ALONE, Group
from monoseme.tensors.tensor_file import facts_of

__all__ = ["Inputs", "StoreInput", "StoreSummary", "write_store"]


def write_store(
    folder: Folder,
    supply: StoreInput,
    storage: StorageConfig,
    *,
    config: Mapping[str, Any],
    inputs: Inputs,
    processes: Group = ALONE,
    resume: bool = False,
) -> StoreSummary:
    """Writes the store, or with `resume` goes on with one that was stopped; all of it is there when this returns.

    `config` and `inputs` are those of the manifest. Shard j is made by process j % n of `processes`.

    Raises ArtifactExistsError for a folder in use or that another process is writing to, ResumeError for one of another capture
    or whose text has changed, Interrupted after Ctrl-C or SIGTERM (what was finished is kept), DiskFullError, AddressError,
    EmptyCorpusError, ConfigError for a `max_bytes` below one shard and for vectors that the stored type cannot hold, and what the
    supply raises.
    """
    began = datetime.datetime.now(datetime.UTC)
    plan = _Plan(supply, storage)
    plan.require_room()
    known = {name: value for name, value in inputs.items() if isinstance(value, str)}
    told = {"config": dict(config), "inputs": known, "storage": to_dict(storage), "supply": supply.spec, "layout": plan.spec}
    with folder.alone() if processes.rank == 0 else contextlib.nullcontext():  # the first one holds it for all
        started = begin_store(folder, told, supply, processes=processes, resume=resume)
        if started.is_finished:
            return summary_of(folder)
        plan.kind = dataclasses.replace(plan.kind, sink_thresholds=started.sink_thresholds)
        with started.numerics_taken_up(), started.undone_by_a_setting(processes):
            _write_shards(folder, plan, started, processes)
        processes.wait()
        if processes.rank == 0:
            asked = {name: value if isinstance(value, str) else value() for name, value in inputs.items()}
            finish_store(folder, plan.index, n_shards=plan.n_shards, config=config, inputs=asked, began=began)
        processes.wait()
    return summary_of(folder)


class _Plan:
    """Which blocks make which shard."""

    def __init__(self, supply: StoreInput, storage: StorageConfig) -> None:
        self.supply, self._storage = supply, storage
        self.kind = ShardKind(
            widths={site: supply.widths[site] for site in supply.sites},
            dtype=storage.dtype,
            context_len=supply.context_len,
            has_text=supply.has_text,
            sink_thresholds={},
        )
        """Its sink thresholds are known when the capture has begun."""
        self.n_shards = 0
        """Of all processes; known when `shards` has come to its end."""
        self._n_blocks = blocks_per_shard(
            self.kind.widths.values(), storage, context_len=supply.context_len, contexts_per_block=supply.contexts_per_block
        )

    @property
    def index(self) -> Index:
        """That of the store, before its shards are counted."""
        supply = self.supply
        return self.kind.index(contexts_per_block=supply.contexts_per_block, sink_factor=supply.sink_factor)

    @property
    def spec(self) -> dict[str, Any]:
        """What decides the bytes besides the vectors."""
        return {key: value for key, value in self.index.to_json().items() if key not in ("sink_thresholds", "shards")} | {
            "blocks_per_shard": self._n_blocks
        }

    @property
    def n_tokens(self) -> int | None:
        """About how many will be stored, all processes together; None where nobody knows."""
        most, supply = self._storage.max_bytes, self.supply
        if most is None:
            return supply.n_tokens
        per_context = bytes_per_context(self.kind.widths.values(), self.kind.dtype, self.kind.context_len)
        fitting = most * self.kind.context_len // per_context
        return fitting if supply.n_tokens is None else min(fitting, supply.n_tokens)

    def require_room(self) -> None:
        """Raises ConfigError where not even the first shard has room; nothing is written before."""
        if self._storage.max_bytes is not None:
            next(self.shards(ALONE), None)

    def shards(self, processes: Group) -> Iterator["_Shard"]:
        """The shards of this process, in order, each with its text; ends where the supply does, or the bytes allowed."""
        most = self._storage.max_bytes
        budget = None if most is None else Budget(self.kind, most_bytes=most)
        for number in itertools.count():
            blocks = [i for i in range(number * self._n_blocks, (number + 1) * self._n_blocks) if self.supply.has_block(i)]
            if not blocks:
                return
            self.n_shards = number + 1
            is_ours = number % processes.size == processes.rank
            if not is_ours and budget is None:
                continue
            texts = [self.supply.text(i) for i in blocks]
            shard = NewShard(number=number, texts=texts, heldout=[self.supply.is_heldout(i) for i in blocks])
            if budget is not None and not budget.admits(shard):
                self.n_shards = number
                return
            if is_ours:
                yield _Shard(shard, blocks)


class _Shard(NamedTuple):
    new: NewShard
    blocks: list[int]
    """Their numbers."""


def _write_shards(folder: Folder, plan: _Plan, started: Started, processes: Group) -> None:
    """Makes the shards of this process that are not there yet. Raises Interrupted after all that was finished is written."""
    total = None if plan.n_tokens is None else plan.n_tokens // processes.size
    bar_of = get_display().progress("capture", total=total, unit="tokens")
    with stop_wish() as wish:
        with bar_of as bar, ShardWriter(folder, plan.kind) as writer:
            for shard in plan.shards(processes):
                kept = started.kept(shard.new.number)
                if kept is not None:
                    _require_text(folder, kept, shard.new)
                    bar.advance(kept.n_rows)
                elif not _write(writer, plan.supply, shard, bar, wish):
                    break
                if wish.asked:
                    break
        if wish.asked:
            raise Interrupted(f"interrupted; the shards that were finished are kept in {folder}")


def _write(writer: ShardWriter, supply: StoreInput, shard: _Shard, bar: Progress, wish: StopWish) -> bool:
    """Hands a shard over block by block; False where that was broken off."""
    writer.begin(shard.new)
    for i, text in zip(shard.blocks, shard.new.texts, strict=True):
        if wish.asked:
            return False
        writer.add(supply.vectors(i, text))
        bar.advance(int(text.real.sum()))
    return True


def _require_text(folder: Folder, kept: ShardRecord, shard: NewShard) -> None:
    """Raises ResumeError where a finished shard is of another text than there is now."""
    name = shard_name(shard.number, "text")
    if facts_of(text_tensors(shard.texts, shard.heldout)).hash != kept.files[name]["hash"]:
        raise ResumeError(
            f"the text has changed since this capture began: shard {shard.number} in {folder} holds other tokens.\n"
            "  Bring the old text back, or capture anew with another --out."
        )
