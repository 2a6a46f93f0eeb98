"""A source cut short: the first blocks of another one."""

from typing import Any

from monoseme.activations.block import Block
from monoseme.activations.source import ActivationSource
from monoseme.activations.wrapped import WrappedSource
from monoseme.tensors.shapes import Int, Tensor


class FirstBlocks(WrappedSource):
    """The first `n_blocks` of a source, or as many as it has."""

    def __init__(self, source: ActivationSource, n_blocks: int) -> None:
        """Assigns."""
        super().__init__(source)
        self._most = n_blocks

    @property
    def n_blocks(self) -> int:
        """Blocks of one pass."""
        return min(self._most, self._source.n_blocks)

    @property
    def spec(self) -> dict[str, Any]:
        """The source's, and how much of it."""
        return self._source.spec | {"first_blocks": self._most}

    def order(self, seed: int, epoch: int) -> Int[Tensor, " n_blocks"] | None:
        """The first blocks in the order in which the source has them."""
        whole = self._source.order(seed, epoch)
        return None if whole is None else whole[whole < self._most]

    def has_block(self, i: int) -> bool:
        """Whether block i is among the first and exists."""
        return i < self._most and self._source.has_block(i)

    def block(self, i: int) -> Block:
        """Block i. Raises IndexError past the cut."""
        if i >= self._most:
            raise IndexError(f"no block {i}: cut after {self._most}")
        return self._source.block(i)
