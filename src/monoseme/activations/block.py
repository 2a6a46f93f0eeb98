"""A block: whole contexts with the activations at every captured site. Letters: n contexts, S positions, D width."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from monoseme.models.site import Site
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.text.block import TokenBlock


class Vectors(NamedTuple):
    """The activations of a block at one site, as they lie in memory: what copies rows of them reads nothing else.

    The vector of place p = context * S + position is `rows[place[p]] * scale[place[p]]`, in float32 for a stored type.
    """

    rows: Tensor
    """[R, D]; float32, bfloat16, float16, or int8 with `scale`."""
    scale: Float[Tensor, " R"] | None = None
    """Of each row; None: 1."""
    place: Int[Tensor, " n*S"] | None = None
    """The row of each place, -1 (zeros) or arbitrary on padding; None: row p is place p."""
    dtype: torch.dtype | None = None
    """Type in which copies of the rows are wanted: float32 for stored ones. None: their own."""

    @property
    def given_as(self) -> torch.dtype:
        """Type of the copies."""
        return self.dtype or self.rows.dtype


@dataclass(frozen=True)
class Block(TokenBlock):
    """Contexts and their activations; all fields of `TokenBlock`, with filters of the source applied to `mask`."""

    activations: Mapping[Site, Tensor]
    """[n, S, D] for each site, on the model's device; what stands at padding means nothing."""
    index: int
    """Number of the block in its source."""

    def vectors(self, site: Site) -> Vectors:
        """The activations at a site without their shape; a stored block gives them as they lie on disk, nothing converted."""
        return Vectors(self.activations[site].flatten(0, 1))

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
