"""A source that stands in front of another one and changes one thing about it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from monoseme.activations.block import Block
from monoseme.activations.source import ActivationSource, SourceSeconds, iterate_blocks
from monoseme.models.site import Site
from monoseme.tensors.shapes import Int, Tensor


class WrappedSource(ABC):
    """Everything but `block` is the source's own until a subclass says otherwise."""

    def __init__(self, source: ActivationSource) -> None:
        """Assigns."""
        self._source = source

    @property
    def sites(self) -> tuple[Site, ...]:
        """Those of the source."""
        return self._source.sites

    @property
    def widths(self) -> Mapping[Site, int]:
        """Those of the source."""
        return self._source.widths

    @property
    def n_blocks(self) -> int:
        """That of the source."""
        return self._source.n_blocks

    @property
    def spec(self) -> dict[str, Any]:
        """That of the source."""
        return self._source.spec

    @property
    def any_order(self) -> bool:
        """That of the source."""
        return self._source.any_order

    @property
    def seconds(self) -> SourceSeconds:
        """Those of the source."""
        return self._source.seconds

    def order(self, seed: int, epoch: int) -> Int[Tensor, " n_blocks"] | None:
        """That of the source."""
        return self._source.order(seed, epoch)

    def will_need(self, blocks: Sequence[int]) -> None:
        """Passes it on."""
        self._source.will_need(blocks)

    def has_block(self, i: int) -> bool:
        """Whether the source has block i."""
        return self._source.has_block(i)

    @abstractmethod
    def block(self, i: int) -> Block:
        """Block i. Raises what the source raises."""

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The blocks from `start` to the last, in order."""
        return iterate_blocks(self, start)
