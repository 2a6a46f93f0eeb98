"""Input of a store without a model or text: random vectors, at the speed of a copy. Letters: n contexts, S positions, D width."""

from collections.abc import Mapping
from typing import Any

import torch

from monoseme.core.seeds import generator
from monoseme.models.site import Site
from monoseme.tensors.shapes import Float, Tensor
from monoseme.text.block import TokenBlock


class RandomInput:
    """Blocks of random vectors, each context a document; any number of them in the memory of one block per site.

    Block i is one block of normal numbers with its rows turned by i and scaled by 1 + i / 1000, so that no two blocks are equal.
    """

    has_text = True
    sink_factor: float | None = None

    def __init__(
        self,
        widths: Mapping[Site, int],
        *,
        n_blocks: int,
        n_heldout: int = 0,
        contexts_per_block: int = 4,
        context_len: int = 8,
        seed: int = 0,
    ) -> None:
        """The last `n_heldout` of the blocks are held out."""
        self.sites, self.widths = tuple(widths), dict(widths)
        self.n_blocks, self.n_heldout, self.seed = n_blocks, n_heldout, seed
        self.contexts_per_block, self.context_len = contexts_per_block, context_len
        self.sink_thresholds: Mapping[str, float | None] = {}
        n_rows = contexts_per_block * context_len
        self._rows = {site: torch.randn(n_rows, d, generator=generator(seed, "input", str(site))) for site, d in widths.items()}

    @property
    def spec(self) -> dict[str, Any]:
        """All that decides the blocks."""
        return {
            "kind": "random",
            "widths": {str(site): width for site, width in self.widths.items()},
            "blocks": [self.n_blocks, self.n_heldout, self.contexts_per_block, self.context_len],
            "seed": self.seed,
        }

    @property
    def n_tokens(self) -> int:
        """Nothing is padding."""
        return self.n_blocks * self.contexts_per_block * self.context_len

    def has_block(self, i: int) -> bool:
        """Whether there is a block i."""
        return 0 <= i < self.n_blocks

    def is_heldout(self, i: int) -> bool:
        """Whether block i is one of the last."""
        return i >= self.n_blocks - self.n_heldout

    def text(self, i: int) -> TokenBlock:
        """Token ids count up within a document."""
        shape = (self.contexts_per_block, self.context_len)
        first = i * self.contexts_per_block
        documents = torch.arange(first, first + self.contexts_per_block).unsqueeze(1).expand(shape)
        positions = torch.arange(self.context_len).expand(shape)
        everything, nothing = torch.ones(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.int8)
        return TokenBlock(
            tokens=positions + 2,
            mask=everything,
            real=everything,
            documents=documents,
            sources=documents,
            positions=positions,
            roles=nothing,
            turns=nothing.to(torch.int16),
        )

    def vectors(self, i: int, text: TokenBlock) -> Mapping[Site, Float[Tensor, "n S D"]]:
        """The vectors of block i."""
        del text
        shape = (self.contexts_per_block, self.context_len)
        return {site: (rows.roll(i, 0) * (1 + i / 1000)).unflatten(0, shape) for site, rows in self._rows.items()}
