"""The delay shuffle: each item of block b is given out in one of the emissions b, ..., b + window - 1, drawn by seed.

Emission e is the union, permuted, of what the blocks e - window + 1, ..., e have for it. So the items of `window` blocks mix,
each is given out exactly once per epoch, at most `window` blocks are held, and any emission can be made again from `window`
blocks alone: everything is a pure function of (seed, epoch, block).

An emission holds no vectors: it knows where they lie in its blocks, which it keeps alive, and a batch copies them from there.
Letters: M items of a block or an emission.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from monoseme.activations.block import Block, Vectors
from monoseme.activations.views import Batch, View, find_facts, find_items, make_batch
from monoseme.core.seeds import generator
from monoseme.models.site import Site
from monoseme.tensors.processes import Group
from monoseme.tensors.shapes import Int, Tensor


class Draw(NamedTuple):
    """The items of one block, those of each emission together."""

    facts: Int[Tensor, "M slots columns"]
    """Of the items, by delay, and in reading order within it (`find_facts`)."""
    starts: list[int]
    """The items held back d emissions are `facts[starts[d]:starts[d + 1]]`."""
    tables: tuple[Vectors, ...]
    """The block's vectors at each site of the view."""


class DelayShuffle(NamedTuple):
    """The order of one view's items."""

    view: View
    sites: tuple[Site, ...]
    seed: int
    window: int

    def draw(self, block: Block, epoch: int) -> Draw:
        """The plan of a block in an epoch."""
        rng = generator(self.seed, "items", self.view.name, epoch, block.index)
        items = find_items(self.view, block, rng)
        delay = torch.randint(0, self.window, (len(items),), generator=rng)
        tables = tuple(block.vectors(site) for site in self.sites)
        starts = [0, *torch.bincount(delay, minlength=self.window).cumsum(0).tolist()]
        return Draw(find_facts(self.view, block, items[delay.argsort(stable=True)], tables), starts, tables)

    def emission(self, e: int, epoch: int, held: Mapping[int, Draw]) -> "Emission | None":
        """Emission e of an epoch from the draws at hand, of the blocks [e - window + 1, e] as far as they exist; None if empty.

        `held` is keyed by the place of a block in the epoch's order.
        """
        found: list[tuple[tuple[Vectors, ...], Tensor]] = []
        for b, draw in sorted(held.items()):
            if e - self.window < b <= e and draw.starts[e - b] < draw.starts[e - b + 1]:
                found.append((draw.tables, draw.facts[draw.starts[e - b] : draw.starts[e - b + 1]]))
        if not found:
            return None
        counts = [len(facts) for _, facts in found]
        return Emission(
            view=self.view,
            sites=self.sites,
            tables=[tables for tables, _ in found],
            part=torch.from_numpy(np.repeat(np.arange(len(found)), counts)),
            facts=torch.cat([facts for _, facts in found]),
            order=torch.randperm(sum(counts), generator=generator(self.seed, "emission", self.view.name, epoch, e)),
        )


class Emission(NamedTuple):
    """Items, block by block, and the order in which they are given out."""

    view: View
    sites: tuple[Site, ...]
    tables: list[tuple[Vectors, ...]]
    """Of each block, the vectors at each site."""
    part: Int[Tensor, " M"]
    """Which of `tables` each item is in."""
    facts: Int[Tensor, "M slots columns"]
    order: Int[Tensor, " M"]

    @property
    def n_items(self) -> int:
        """M."""
        return len(self.order)


class Stretch(NamedTuple):
    """The items [start, stop) of an emission, in the order in which they are given out."""

    emission: Emission
    start: int
    stop: int


def cut(stretches: Sequence[Stretch], share: Group) -> Batch:
    """A batch with this rank's share of the items of all stretches: putting in order, converting and joining are one copy."""
    kept = _shared(stretches, share)
    orders = [one.emission.order[one.start : one.stop] for one in kept]
    firsts = [sum(len(one.emission.tables) for one in kept[:i]) for i in range(len(kept))]
    first = kept[0].emission
    return make_batch(
        first.view,
        first.sites,
        [tables for one in kept for tables in one.emission.tables],
        part=torch.cat([one.emission.part[order] + n for one, order, n in zip(kept, orders, firsts, strict=True)]),
        facts=torch.cat([one.emission.facts[order] for one, order in zip(kept, orders, strict=True)]),
    )


def _shared(stretches: Sequence[Stretch], share: Group) -> list[Stretch]:
    """What of the stretches falls to this rank; one of no items where none does."""
    mine = share.part_of(sum(one.stop - one.start for one in stretches))
    kept: list[Stretch] = []
    done = 0
    for emission, start, stop in stretches:
        low, high = max(mine.start - done, 0), min(mine.stop - done, stop - start)
        if low < high:
            kept.append(Stretch(emission, start + low, start + high))
        done += stop - start
    return kept or [Stretch(stretches[0].emission, 0, 0)]
