"""The delay shuffle: each item of block b is given out in one of the emissions b, ..., b + window - 1, drawn by seed.

Emission e is the union, permuted, of what the blocks e - window + 1, ..., e have for it. So the items of `window` blocks mix,
each is given out exactly once per epoch, at most `window` blocks are held, and any emission can be made again from `window`
blocks alone: everything is a pure function of (seed, epoch, block). Letters: M items of a block.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from monoseme.activations.block import Block
from monoseme.activations.views import Batch, View, find_items, gather
from monoseme.core.seeds import generator
from monoseme.models.site import Site
from monoseme.tensors.shapes import Int, Tensor


class Draw(NamedTuple):
    """The items of one block and how many emissions each is held back."""

    items: Int[Tensor, "M slots"]
    delay: Int[Tensor, " M"]


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
        return Draw(items, torch.randint(0, self.window, (len(items),), generator=rng))

    def emission(self, e: int, epoch: int, held: Mapping[int, tuple[Block, Draw]]) -> "Emission | None":
        """Emission e of an epoch from the blocks at hand, [e - window + 1, e] as far as they exist; None if it is empty."""
        found = [
            (block, draw.items[draw.delay == e - b]) for b, (block, draw) in sorted(held.items()) if e - self.window < b <= e
        ]
        n_items = sum(len(items) for _, items in found)
        if not n_items:
            return None
        order = torch.randperm(n_items, generator=generator(self.seed, "emission", self.view.name, epoch, e))
        return Emission(gather(self.view, found, self.sites), order)


class Emission(NamedTuple):
    """Items, block by block, and the order in which they are given out."""

    items: Batch
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


def cut(stretches: Sequence[Stretch]) -> Batch:
    """A batch of its own memory with the items of all stretches; putting in order and joining are one copy."""
    batches = [emission.items for emission, _, _ in stretches]
    orders = [emission.order[start:stop] for emission, start, stop in stretches]
    masks = [batch.mask for batch in batches if batch.mask is not None]
    return Batch(
        x=_picked([batch.x for batch in batches], orders),
        mask=_picked(masks, orders) if masks else None,
        tokens=_picked([batch.tokens for batch in batches], orders),
        documents=_picked([batch.documents for batch in batches], orders),
        positions=_picked([batch.positions for batch in batches], orders),
        sites=batches[0].sites,
    )


def _picked(tensors: Sequence[Tensor], orders: Sequence[Tensor]) -> Tensor:
    """The rows `orders` of `tensors`, one after the other."""
    first = tensors[0]
    whole = first.new_empty(sum(len(order) for order in orders), *first.shape[1:])
    start = 0
    for tensor, order in zip(tensors, orders, strict=True):
        torch.index_select(tensor, 0, order.to(tensor.device), out=whole[start : start + len(order)])
        start += len(order)
    return whole
