"""Activations of several models side by side, over the same contexts: what an SAE that compares models learns from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from monoseme.activations.block import Block
from monoseme.activations.source import ActivationSource, SourceSeconds, iterate_blocks
from monoseme.core.errors import ConfigError, CorpusError
from monoseme.models.site import Site
from monoseme.tensors.shapes import Int, Tensor

_SHARED = ("tokens", "real", "documents")


class JointSource:
    """Sources of different models as one; its sites are theirs with the model's name, `resid_post.3@base`.

    Every block must hold the same contexts in all of them, token for token: one token store, one size of blocks, one split. A
    position counts where it counts in each (one model's attention sink is left out for all). Text, roles and positions are those
    of the first; activations come to its device.
    """

    def __init__(self, sources: Mapping[str, ActivationSource]) -> None:
        """By the models' names. Raises ConfigError for fewer than two and for sites that name another model already, SiteError
        for an empty name.
        """
        if len(sources) < 2:
            raise ConfigError(f"a joint source needs two models or more, not {len(sources)}: {', '.join(sources) or 'none'}")
        self._sources = dict(sources)
        self._own = {name: {site: _named(site, name) for site in source.sites} for name, source in sources.items()}
        self.sites = tuple(site for named in self._own.values() for site in named.values())
        self.widths: Mapping[Site, int] = {
            named: source.widths[site] for name, source in sources.items() for site, named in self._own[name].items()
        }

    @property
    def n_blocks(self) -> int:
        """Blocks of one pass. Raises CorpusError where the sources do not have as many."""
        numbers = {name: source.n_blocks for name, source in self._sources.items()}
        if len(set(numbers.values())) > 1:
            raise CorpusError(f"the models do not read the same contexts: their blocks number {numbers}.\n  {_ADVICE}")
        return next(iter(numbers.values()))

    @property
    def any_order(self) -> bool:
        """Whether all of them can be read so."""
        return all(source.any_order for source in self._sources.values())

    def order(self, seed: int, epoch: int) -> Int[Tensor, " n_blocks"] | None:
        """That of the first, if all can be read so."""
        return next(iter(self._sources.values())).order(seed, epoch) if self.any_order else None

    def will_need(self, blocks: Sequence[int]) -> None:
        """Passes it on to all."""
        for source in self._sources.values():
            source.will_need(blocks)

    @property
    def spec(self) -> dict[str, Any]:
        """The specs of all, by the models' names."""
        return {"kind": "joint", "sources": {name: source.spec for name, source in self._sources.items()}}

    @property
    def seconds(self) -> SourceSeconds:
        """Those of all the sources together."""
        each = [source.seconds for source in self._sources.values()]
        waits = [seconds.waiting for seconds in each if seconds.waiting is not None]
        return SourceSeconds(
            reading=sum(seconds.reading for seconds in each),
            model=sum(seconds.model for seconds in each),
            waiting=sum(waits) if waits else None,
        )

    def has_block(self, i: int) -> bool:
        """Whether there is a block i. Raises CorpusError where only some of the sources have it."""
        there = {name: source.has_block(i) for name, source in self._sources.items()}
        if len(set(there.values())) > 1:
            lacking = ", ".join(name for name, has in there.items() if not has)
            raise CorpusError(f"the models do not read the same contexts: there is no block {i} for {lacking}.\n  {_ADVICE}")
        return all(there.values())

    def block(self, i: int) -> Block:
        """Block i. Raises CorpusError where its contexts are not the same for all, and what a source raises."""
        blocks = {name: source.block(i) for name, source in self._sources.items()}
        first_name, first = next(iter(blocks.items()))
        device = next(iter(first.activations.values())).device
        mask, activations = first.mask, dict[Site, Tensor]()
        for name, block in blocks.items():
            _check_same(first, block, first_name, name)
            mask = mask & block.mask
            activations |= {self._own[name][site]: x.to(device) for site, x in block.activations.items()}
        return Block.of(first, activations, index=i, mask=mask)

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The blocks from `start` to the last, in order."""
        return iterate_blocks(self, start)

    def __repr__(self) -> str:
        """The sites."""
        return f"JointSource({', '.join(map(str, self.sites))})"


_ADVICE = "Give all models one token store (one tokenizer and corpus), one split and one contexts_per_block."


def _named(site: Site, model: str) -> Site:
    if site.model not in (None, model):
        raise ConfigError(f'the source of "{model}" has the site {site}, which names another model')
    return replace(site, model=model)


def _check_same(first: Block, other: Block, first_name: str, name: str) -> None:
    where = f'block {first.index} is not the same text for "{first_name}" and "{name}"'
    if first.tokens.shape != other.tokens.shape:
        sizes = f"{tuple(first.tokens.shape)} against {tuple(other.tokens.shape)} contexts and positions"
        raise CorpusError(f"{where}: {sizes}.\n  {_ADVICE}")
    for what in _SHARED:
        one, two = (torch.as_tensor(getattr(block, what)) for block in (first, other))
        if not torch.equal(one, two):
            context, position = (one != two).nonzero()[0].tolist()
            values = f"{one[context, position].item()} against {two[context, position].item()}"
            raise CorpusError(f"{where}: {what} differ first at context {context}, position {position}: {values}.\n  {_ADVICE}")
