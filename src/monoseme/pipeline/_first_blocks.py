"""A source cut short: the first blocks of another one."""

from collections.abc import Iterator, Mapping
from typing import Any

from monoseme.activations import ActivationSource, Block
from monoseme.models import Site


class FirstBlocks:
    """The first `n_blocks` of a source, or as many as it has."""

    def __init__(self, source: ActivationSource, n_blocks: int) -> None:
        """Assigns."""
        self._source = source
        self._most = n_blocks

    @property
    def sites(self) -> tuple[Site, ...]:
        """As in the source."""
        return self._source.sites

    @property
    def widths(self) -> Mapping[Site, int]:
        """As in the source."""
        return self._source.widths

    @property
    def n_blocks(self) -> int:
        """Blocks of one pass."""
        return min(self._most, self._source.n_blocks)

    @property
    def spec(self) -> dict[str, Any]:
        """The source's, and how much of it."""
        return self._source.spec | {"first_blocks": self._most}

    @property
    def seconds_model(self) -> float:
        """Of the source."""
        return self._source.seconds_model

    def has_block(self, i: int) -> bool:
        """Whether block i is among the first and exists."""
        return i < self._most and self._source.has_block(i)

    def block(self, i: int) -> Block:
        """Block i. Raises IndexError past the cut."""
        if i >= self._most:
            raise IndexError(f"no block {i}: cut after {self._most}")
        return self._source.block(i)

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The blocks from `start` to the cut."""
        for i in range(start, self.n_blocks):
            yield self._source.block(i)
