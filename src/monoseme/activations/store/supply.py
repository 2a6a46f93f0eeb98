"""What a store is made from: a model and a text, or somebody else's files."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor
from monoseme.text.block import TokenBlock

Inputs = Mapping[str, str | Callable[[], str]]
"""Name -> content hash of what a store is made from; a function is asked at the end, for what is known only then."""


class StoreInput(Protocol):
    """Blocks of whole contexts, all of one size but the last ones of a side.

    The texts of a shard's blocks are all asked for before the vectors of the first: how many tokens are real decides how long its
    files are. A resume asks for texts again, and for vectors of the shards it lacks.
    """

    @property
    def sites(self) -> tuple[Site, ...]:
        """In the order of the store."""
        ...

    @property
    def widths(self) -> Mapping[Site, int]:
        """D of each site."""
        ...

    @property
    def context_len(self) -> int:
        """S."""
        ...

    @property
    def contexts_per_block(self) -> int:
        """Contexts of a block, at most."""
        ...

    @property
    def has_text(self) -> bool:
        """Whether tokens, documents and positions mean something."""
        ...

    @property
    def spec(self) -> dict[str, Any]:
        """What decides the blocks besides the store's config, known at once, JSON-able: a resume must find the same."""
        ...

    @property
    def sink_factor(self) -> float | None:
        """The attention-sink filter's multiple of the median norm; None without a filter."""
        ...

    @property
    def sink_thresholds(self) -> Mapping[str, float | None]:
        """Longest norm let through per site, None for any; empty without a filter. Sinks are stored; readers leave them out."""
        ...

    @property
    def n_tokens(self) -> int | None:
        """About how many real tokens there are, for the progress bar; None where that is not known yet."""
        ...

    def has_block(self, i: int) -> bool:
        """Whether there is a block i."""
        ...

    def is_heldout(self, i: int) -> bool:
        """Whether block i is of held-out documents."""
        ...

    def text(self, i: int) -> TokenBlock:
        """The contexts of block i, the same each time."""
        ...

    def vectors(self, i: int, text: TokenBlock) -> Mapping[Site, Tensor]:
        """The vectors [n, S, D] of that block at every site, with the same bits each time; what stands at padding is not read.

        `text` is what `text(i)` gave. The tensors are not written to afterwards.
        """
        ...
