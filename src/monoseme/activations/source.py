"""What every source of activations offers, and what a live one asks of a model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from monoseme.activations.block import Block
from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Int, Tensor
from monoseme.text.block import TokenBlock


class SourceSeconds(NamedTuple):
    """Where a source spent its time so far (seconds)."""

    reading: float = 0.0
    """Waiting for text: reading, tokenising, packing."""
    model: float = 0.0
    """In forwards of the language model, its activations copied into the block."""
    waiting: float | None = None
    """Until a block was there that another thread made, in which `reading` and `model` ran; None without such a thread."""


class ActivationSource(Protocol):
    """Blocks of contexts with activations. Any block can be asked for at any time and has the same bits each time."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """Captured sites, in the order given."""
        ...

    @property
    def widths(self) -> Mapping[Site, int]:
        """Length of the vectors at each site (D)."""
        ...

    @property
    def n_blocks(self) -> int:
        """Blocks of one pass. May wait for a corpus to be read to its end: `has_block` does not."""
        ...

    @property
    def spec(self) -> dict[str, Any]:
        """What a manifest says of the source; equal specs give equal blocks."""
        ...

    @property
    def any_order(self) -> bool:
        """Whether blocks can be had in any order at the same cost: a stream then takes them in an order drawn for each epoch."""
        ...

    @property
    def seconds(self) -> SourceSeconds:
        """Where its time went so far."""
        ...

    def order(self, seed: int, epoch: int) -> Int[Tensor, " n_blocks"] | None:
        """The order in which a stream takes the blocks in that epoch; None, from the first to the last, unless `any_order`."""
        ...

    def will_need(self, blocks: Sequence[int]) -> None:
        """Says which blocks will be asked for next, in that order, so that they can be made ready; some may not exist."""
        ...

    def has_block(self, i: int) -> bool:
        """Whether there is a block i."""
        ...

    def block(self, i: int) -> Block:
        """Block i. Raises IndexError if there is none."""
        ...

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The blocks from `start` to the last, in order."""
        ...


class InOrder:
    """What sources that make their blocks from the first to the last have in common; a subclass has the rest of the protocol."""

    any_order = False

    def order(self, seed: int, epoch: int) -> None:
        """From the first to the last."""

    def will_need(self, blocks: Sequence[int]) -> None:
        """Nothing: a thread that makes blocks ahead is a `PrefetchSource`."""


class SiteWidths(Protocol):
    """The part of a model's spec that a source needs."""

    def site_width(self, site: Site) -> int:
        """Length of the vectors at the site. Raises SiteError if the model has no such site."""
        ...


class Contexts(Protocol):
    """The contexts that a live source runs through its model: a `ContextPlan` of a corpus, or `GivenContexts`."""

    @property
    def split(self) -> str:
        """Which documents they are of."""
        ...

    @property
    def context_len(self) -> int:
        """Positions of a context (S)."""
        ...

    @property
    def spec(self) -> dict[str, Any]:
        """What a manifest says of them."""
        ...

    def has(self, i: int) -> bool:
        """Whether there is a context i."""
        ...

    def n_blocks(self, n_contexts: int) -> int:
        """Blocks of `n_contexts` each; the last may have fewer."""
        ...

    def block(self, i: int, n_contexts: int) -> TokenBlock:
        """Contexts [i * n_contexts, (i + 1) * n_contexts), or as many as there are. Raises IndexError if there is none."""
        ...


class CapturingModel(Protocol):
    """The part of a language model that a source needs; `monoseme.models.LanguageModel` has it."""

    @property
    def spec(self) -> SiteWidths:
        """Sizes."""
        ...

    @property
    def device(self) -> Any:
        """Where token ids go."""
        ...

    def capture(
        self, tokens: Int[Tensor, "n S"], sites: Sequence[Site], *, real: Bool[Tensor, "n S"] | None = None
    ) -> Mapping[Site, Tensor]:
        """The activations [n, S, D] at the sites; `real` is what is not padding (None: everything)."""
        ...

    def content_hash(self) -> str:
        """Hash of weights and tokenizer."""
        ...


def iterate_blocks(source: ActivationSource, start: int = 0) -> Iterator[Block]:
    """The blocks from `start` on, without asking how many there are."""
    i = start
    while source.has_block(i):
        yield source.block(i)
        i += 1
