"""Supplies without a model, for tests: vectors are a pure function of the block."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from monoseme.models.site import Site
from monoseme.text.block import TokenBlock

ONE, TWO = Site.parse("resid_post.0"), Site.parse("mlp_out.1")
S = 11


class FakeSupply:
    """Blocks of 3 contexts of 11 positions; every third is held out; contexts may be padded at their end."""

    sites = (ONE, TWO)
    context_len = S
    contexts_per_block = 3
    has_text = True
    sink_factor: float | None = None
    n_tokens = None

    def __init__(self, n_blocks: int = 8, *, padded: bool = False, widths: tuple[int, int] = (5, 7)) -> None:
        self.n_blocks, self.padded = n_blocks, padded
        self.widths: Mapping[Site, int] = dict(zip(self.sites, widths, strict=True))
        self.sink_thresholds: Mapping[str, float | None] = {}
        self.asked: list[int] = []
        """Blocks whose vectors were asked for."""
        self.before_vectors: Callable[[int], None] = lambda i: None
        self.text_seed = 0

    @property
    def spec(self) -> dict[str, Any]:
        return {"kind": "fake", "padded": self.padded}

    def has_block(self, i: int) -> bool:
        return 0 <= i < self.n_blocks

    def is_heldout(self, i: int) -> bool:
        return i % 3 == 2

    def text(self, i: int) -> TokenBlock:
        n = self.contexts_per_block - (i == self.n_blocks - 1)  # the last block is smaller
        random = torch.Generator().manual_seed(1000 * self.text_seed + i)
        lengths = torch.randint(1, S + 1, (n, 1), generator=random) if self.padded else torch.full((n, 1), S)
        real = torch.arange(S).expand(n, S) < lengths
        tokens = torch.where(real, torch.randint(2, 70_000, (n, S), generator=random), 0)
        documents = torch.where(real, torch.arange(i * 3, i * 3 + n).unsqueeze(1).expand(n, S), -1)
        return TokenBlock(
            tokens=tokens,
            mask=real & (tokens % 5 != 0),
            real=real,
            documents=documents,
            sources=torch.where(real, documents // 2, -1),
            positions=torch.where(real, torch.arange(S).expand(n, S), -1),
            roles=torch.zeros(n, S, dtype=torch.int8),
            turns=torch.zeros(n, S, dtype=torch.int16),
        )

    def vectors(self, i: int, text: TokenBlock) -> Mapping[Site, Tensor]:
        self.before_vectors(i)
        self.asked.append(i)
        random = torch.Generator().manual_seed(i)
        shape = (text.n_contexts, S)
        found = {site: torch.randn(*shape, width, generator=random) for site, width in self.widths.items()}
        return {site: torch.where(text.real.unsqueeze(-1), x, torch.nan) for site, x in found.items()}  # padding is never read
