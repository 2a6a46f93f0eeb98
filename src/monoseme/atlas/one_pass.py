"""One pass over the blocks of a source: the text is put down, and every SAE's gatherers get the codes of all of it.

Letters: n contexts of a block, S positions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monoseme.atlas.feed import Feed, Gathered, Target, block_rows
from monoseme.atlas.gatherer import GathererSpec
from monoseme.atlas.needs import ScannedBlock, ScannedSource
from monoseme.atlas.roles import RoleFilter
from monoseme.atlas.text_store import TextWriter, TokenGrid
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, EmptyCorpusError


class Contexts:
    """Numbers the contexts of a source: block i holds those from i * per_block on."""

    def __init__(self, source: ScannedSource, first: ScannedBlock) -> None:
        """`first`: any block of the source."""
        self.per_block = max([len(first.tokens), *_told(source.spec)])
        self.total = source.n_blocks * self.per_block
        """Ordinals are below this; some belong to no context where blocks differ in size."""
        self.length = first.tokens.shape[1]
        """Tokens of a context (S)."""

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


def pass_over(
    source: ScannedSource, writer: TextWriter, make: Callable[[Contexts], list[Feed]], *, gap: int, only: RoleFilter
) -> list[Feed]:
    """Give every block to the text and to all feeds, which `make` makes when the first block is there.

    Raises EmptyCorpusError if no token reached the SAEs.
    """
    feeds: list[Feed] = []
    contexts: Contexts | None = None
    with get_display().progress("scan", total=source.n_blocks, unit="blocks") as progress:
        for i, block in enumerate(source.blocks()):
            if contexts is None:
                contexts = Contexts(source, block)
                feeds = make(contexts)
            grid = _grid(block)
            writer.add(grid)
            rows = block_rows(grid, gap=gap, first_context=contexts.first_of(i, block), only=only)
            for feed in feeds:
                feed.add(block.activations, rows)
            progress.advance()
    for feed in feeds:
        feed.flush()
    if not any(feed.gathered[0].n_rows for feed in feeds):
        raise EmptyCorpusError(f"no token of the text reached the SAEs: it is empty, or all of it is masked{only.told}.")
    return feeds


def _grid(block: ScannedBlock) -> TokenGrid:
    columns = (block.tokens, block.mask, block.documents, block.positions, block.sources, block.roles, block.turns)
    return TokenGrid(*(column.cpu().numpy() for column in columns))
