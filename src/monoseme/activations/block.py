"""A block: whole contexts with the activations at every captured site. Letters: n contexts, S positions, D width."""

from collections.abc import Mapping
from dataclasses import dataclass

from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor
from monoseme.text.block import TokenBlock


@dataclass(frozen=True)
class Block(TokenBlock):
    """Contexts and their activations; all fields of `TokenBlock`, with filters of the source applied to `mask`."""

    activations: Mapping[Site, Tensor]
    """[n, S, D] for each site, on the model's device; what stands at padding means nothing."""
    index: int
    """Number of the block in its source."""

    @classmethod
    def of(cls, text: TokenBlock, activations: Mapping[Site, Tensor], *, index: int, mask: Tensor | None = None) -> "Block":
        """The contexts of `text` with their activations; `mask` replaces its own (None: it stays)."""
        return cls(
            tokens=text.tokens,
            mask=text.mask if mask is None else mask,
            real=text.real,
            documents=text.documents,
            sources=text.sources,
            positions=text.positions,
            roles=text.roles,
            turns=text.turns,
            activations=activations,
            index=index,
        )
