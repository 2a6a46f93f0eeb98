"""The delay shuffle: each item of block b is given out in one of the emissions b, ..., b + window - 1, drawn by seed.

Emission e is the union, permuted, of what the blocks e - window + 1, ..., e have for it. So the items of `window` blocks mix,
each is given out exactly once per epoch, at most `window` blocks are held, and any emission can be made again from `window`
blocks alone: everything is a pure function of (seed, epoch, block). Letters: M items of a block.
"""

from typing import NamedTuple

import torch

from monoseme.activations.block import Block
from monoseme.activations.views import Batch, View, find_items, gather, join_batches
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

    def emission(self, e: int, epoch: int, held: dict[int, tuple[Block, Draw]]) -> Batch | None:
        """Emission e of an epoch from the blocks at hand, [e - window + 1, e] as far as they exist; None if it is empty."""
        parts = [
            gather(self.view, block, draw.items[draw.delay == e - b], self.sites)
            for b, (block, draw) in sorted(held.items())
            if e - self.window < b <= e
        ]
        if not sum(part.n_items for part in parts):
            return None
        whole = join_batches(parts)
        order = torch.randperm(whole.n_items, generator=generator(self.seed, "emission", self.view.name, epoch, e))
        mask = None if whole.mask is None else whole.mask[order]
        x = whole.x[order.to(whole.x.device)]
        return Batch(x, mask, whole.tokens[order], whole.documents[order], whole.positions[order], whole.sites)
