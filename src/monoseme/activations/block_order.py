"""The order in which a stream takes the blocks of an epoch, and word to the source of what comes next."""

import torch

from monoseme.activations.block import Block
from monoseme.activations.source import ActivationSource
from monoseme.core.seeds import generator
from monoseme.tensors.shapes import Int, Tensor

_FORESEEN = 64
"""Blocks that a source is told of before they are asked for; how far ahead it reads is its own choice."""


class BlockOrder:
    """Blocks by their place in an epoch: from the first to the last, or in the source's order for (seed, epoch)."""

    def __init__(self, source: ActivationSource, *, seed: int) -> None:
        """Stands at epoch 0."""
        self._source, self._seed = source, seed
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Goes to an epoch."""
        self._order = self._source.order(self._seed, epoch)

    def has(self, place: int) -> bool:
        """Whether the epoch has so many blocks."""
        return self._source.has_block(place) if self._order is None else place < len(self._order)

    def take(self, place: int) -> Block:
        """The block at a place; the source hears of those after it first."""
        following = range(place + 1, place + 1 + _FORESEEN)
        if self._order is None:
            self._source.will_need(following)
            return self._source.block(place)
        self._source.will_need(self._order[place + 1 : following.stop].tolist())
        return self._source.block(int(self._order[place]))


def drawn_order(n_blocks: int, *, seed: int, epoch: int) -> Int[Tensor, " n"]:
    """A permutation of the blocks, a pure function of its arguments."""
    return torch.randperm(n_blocks, generator=generator(seed, "blocks", epoch))
