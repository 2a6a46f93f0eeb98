"""One pass over the blocks of a source: the text is logged, and every SAE's gatherers get the codes of all of it.

It is put down between blocks. What was taken up again gathers the same to the bit: chunks of firings are cut where they would
have been, because only what was handed on in whole chunks is put down, each SAE's with the number of its next block.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from monoseme.atlas.roles import RoleFilter
from monoseme.atlas.scanning.feed import Feed, Gathered, Target, block_rows
from monoseme.atlas.scanning.gatherer import GathererSpec
from monoseme.atlas.scanning.grid_log import GridLog
from monoseme.atlas.scanning.needs import ScannedBlock, ScannedSource
from monoseme.atlas.scanning.scratch import Pace, read_checkpoint, write_checkpoint
from monoseme.atlas.text_store import TokenGrid
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactDamagedError, ConfigError, EmptyCorpusError, Interrupted
from monoseme.core.interrupt import stop_wish
from monoseme.tensors.processes import ALONE, Group


class Contexts(NamedTuple):
    """Numbers the contexts of a source: block i holds those from i * per_block on."""

    per_block: int
    """Most contexts of a block (count)."""
    total: int
    """Ordinals are below this; some belong to no context where blocks differ in size."""
    length: int
    """Tokens of a context (S)."""

    @classmethod
    def of(cls, source: ScannedSource) -> Self:
        """Looks at the first block of a source. Raises EmptyCorpusError if there is none."""
        first = next(iter(source.blocks()), None)
        if first is None:
            raise EmptyCorpusError("the text holds no context, so there is nothing to scan.")
        per_block = max([len(first.tokens), *_told(source.spec)])
        return cls(per_block=per_block, total=source.n_blocks * per_block, length=first.tokens.shape[1])

    def first_of(self, block: int, tokens: ScannedBlock) -> int:
        """Ordinal of the first context of a block. Raises ConfigError for a block with more contexts than any should have."""
        if len(tokens.tokens) > self.per_block:
            raise ConfigError(
                f"block {block} of the source holds {len(tokens.tokens)} contexts, but its first one {self.per_block}. "
                "Give the source's spec a contexts_per_block."
            )
        return block * self.per_block


def _told(spec: Any) -> list[int]:
    """Every `contexts_per_block` that a spec names, those of the sources inside it too."""
    if not isinstance(spec, Mapping):
        return []
    own = [value for key, value in spec.items() if key == "contexts_per_block" and isinstance(value, int)]
    return own + [n for value in spec.values() for n in _told(value)]


def make_feed(
    target: Target, specs: Iterable[Sequence[GathererSpec]], contexts: Contexts, scratch: Path, *, gap: int, rows_per_encode: int
) -> Feed:
    """The feed of one target with new gatherers; `specs` has what is gathered of each of its keys."""
    gathered = []
    for key, wanted in zip(target.keys, specs, strict=True):
        made = {}
        for spec in wanted:
            own = scratch / key / spec.name
            own.mkdir(parents=True, exist_ok=True)
            n_latents = target.sae.n_latents
            made[spec.name] = spec.make(n_latents, n_contexts=contexts.total, context_len=contexts.length, scratch=own)
        gathered.append(Gathered(key, made, gap=gap))
    return Feed(target, gathered, rows_per_encode=rows_per_encode)


class PassOptions(NamedTuple):
    """How a pass goes by. What is in the files does not depend on it, but for means of float64 in their last digits."""

    gatherers: tuple[GathererSpec, ...] = ()
    """What is gathered of each SAE beside what `store.py` and `kept_codes.py` tell of, into files of its own."""
    resume: bool = False
    """Go on from the last checkpoint of the same scan, if there is one."""
    processes: Group = ALONE
    """Those that share the pass: they take blocks in turn, and the first one merges and writes."""
    checkpoint_seconds: float = 30.0
    """Shortest time between two checkpoints; longer where they would take more than 2 % of the pass."""
    resume_command: str = "the same scan with resume=True"
    """What goes on with a scan that was interrupted, as the user types it."""


class OnePass:
    """A process's part of a pass: every n-th block, to the log of grids and to all feeds."""

    def __init__(self, source: ScannedSource, contexts: Contexts, feeds: Sequence[Feed], own: Path, options: PassOptions) -> None:
        """`own`: the process's folder, with its last checkpoint if it is to go on from there. Raises ArtifactDamagedError."""
        self.feeds = tuple(feeds)
        self._source, self._contexts, self._own, self._options = source, contexts, own, options
        self._pace = Pace(options.checkpoint_seconds)
        self._number = self._next_block = 0
        told = read_checkpoint(own) if options.resume else None
        if told is not None:
            self._number, self._next_block = told["number"], told["next_block"]
            for gathered in self._gathered():
                gathered.restore(self._number, told["gathered"][gathered.key])
        self._log = GridLog(grids_file(own), length=0 if told is None else told["log_bytes"])

    def run(self, *, gap: int, only: RoleFilter) -> None:
        """Give all blocks of this process to the feeds.

        Raises Interrupted after Ctrl-C or SIGTERM, when a checkpoint is made.
        """
        with contextlib.closing(self._log):
            self._run(gap=gap, only=only)
            for feed in self.feeds:
                feed.flush()
            if self._number or self._options.processes.size > 1:  # what took long must outlive the writing; others merge it
                self._checkpoint()

    def take(self, own: Path, feeds: Sequence[Feed]) -> None:
        """Merge what the process with the folder `own` gathered; `feeds` are new ones, of its folder."""
        told = read_checkpoint(own)
        if told is None:
            raise ArtifactDamagedError(f"{own} holds no part of the scan. Scan again, without --resume.")
        others = [gathered for feed in feeds for gathered in feed.gathered]
        for mine, other in zip(self._gathered(), others, strict=True):
            other.restore(told["number"], told["gathered"][other.key])
            mine.merge(other)

    def _run(self, *, gap: int, only: RoleFilter) -> None:
        rank, size = self._options.processes.rank, self._options.processes.size
        start = min([self._next_block, *(feed.next_block for feed in self.feeds)])
        progress = get_display().progress("scan", total=len(range(rank, self._source.n_blocks, size)), unit="blocks")
        with progress as bar, stop_wish() as wish:
            bar.advance(len(range(rank, start, size)))
            for number, block in _blocks(self._source, start, rank=rank, size=size):
                self._add(number, block, gap=gap, only=only)
                bar.advance()
                if wish.asked or self._pace.is_due:
                    self._checkpoint()
                if wish.asked:
                    raise Interrupted(f"interrupted; the scan is kept up to here.\n  Go on with:  {self._options.resume_command}")

    def _gathered(self) -> list[Gathered]:
        return [gathered for feed in self.feeds for gathered in feed.gathered]

    def _add(self, number: int, block: ScannedBlock, *, gap: int, only: RoleFilter) -> None:
        grid = grid_of(block)
        if number >= self._next_block:
            self._log.append(grid)
            self._next_block = number + 1
        rows = block_rows(grid, gap=gap, first_context=self._contexts.first_of(number, block), only=only)
        for feed in self.feeds:
            feed.add(number, block.activations, rows)

    def _checkpoint(self) -> None:
        """Put down all that was handed on. Firings still on their way are not: their blocks are passed again."""
        with self._pace.paid():
            self._number += 1
            gathered = {gathered.key: gathered.checkpoint(self._number) for gathered in self._gathered()}
            told = {"number": self._number, "next_block": self._next_block, "gathered": gathered, "log_bytes": self._log.sync()}
            write_checkpoint(self._own, told)


def grids_file(own: Path) -> Path:
    """Where a process logs the grids of its blocks."""
    return own / "grids.bin"


def _blocks(source: ScannedSource, start: int, *, rank: int, size: int) -> Iterator[tuple[int, ScannedBlock]]:
    """Every size-th block, beginning with that of `rank`, from `start` on; each with its number."""
    if size == 1:
        yield from enumerate(source.blocks(start), start)
        return
    for number in range(rank, source.n_blocks, size):
        if number >= start:
            yield number, next(iter(source.blocks(number)))


def grid_of(block: ScannedBlock) -> TokenGrid:
    """The tokens of a block and all that is known of them, as arrays."""
    columns = (block.tokens, block.mask, block.documents, block.positions, block.sources, block.roles, block.turns)
    return TokenGrid(*(column.cpu().numpy() for column in columns))
