"""Where the loop gets its batches: one pass over the activations that serves every SAE, with a cursor to go back to."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from monoseme.activations import SourceSeconds


class Rows(NamedTuple):
    """One SAE's part of a step, in the view it learns from."""

    x: Tensor
    """Raw activations, [B, D] or with more leading dimensions."""
    mask: Tensor | None = None
    """Which vectors count, in the leading shape of x; None: all."""
    tokens: Tensor | None = None
    """Token ids of the items, in the leading shape of x without sites, on the CPU; None where a feed has no text."""
    documents: Tensor | None = None
    """Document of each token; below 0 on padding. As `tokens`."""
    positions: Tensor | None = None
    """Place of each token in its document's stretch. As `tokens`."""

    @property
    def n_counted(self) -> int:
        """Vectors that count."""
        return self.x.shape[:-1].numel() if self.mask is None else int(self.mask.sum())

    @property
    def n_pairs(self) -> int:
        """Where items are pairs: those of which both vectors count."""
        return self.x.shape[0] if self.mask is None else int(self.mask.all(-1).sum())

    def vectors(self) -> Tensor:
        """The vectors that count, flattened to [N, D]."""
        return self.x.flatten(0, -2) if self.mask is None else self.x[self.mask]

    def split(self, n_parts: int) -> list["Rows"]:
        """Cut along the first axis into at most `n_parts` parts of nearly equal size, none empty."""
        if n_parts == 1:
            return [self]
        n_parts = min(n_parts, self.x.shape[0])
        cut = [[None] * n_parts if tensor is None else tensor.tensor_split(n_parts) for tensor in self[1:]]
        return [Rows(*part) for part in zip(self.x.tensor_split(n_parts), *cut, strict=True)]


def joined_items(batches: Sequence[Rows]) -> Tensor:
    """All that counts: vectors [N, D], of pairs and several sites with the axis these have, [N, 2, D] and [N, L, D]."""
    return torch.cat([batch.x if batch.mask is None else batch.vectors() for batch in batches])


class Feed(Protocol):
    """An endless sequence of steps, one batch for each SAE; a pure function of its seed and the cursor."""

    def advance(self) -> Sequence[Rows]:
        """The next step's batches, in the order of the jobs. SAEs with the same view and site share one."""
        ...

    def cursor(self) -> dict[str, Any]:
        """Where the next step begins, as JSON-able values."""
        ...

    def seek(self, cursor: dict[str, Any]) -> None:
        """Goes to a cursor: the batches that follow are those that followed there, to the bit."""
        ...

    def seconds(self) -> SourceSeconds:
        """Where the source of the activations spent its time so far."""
        ...
