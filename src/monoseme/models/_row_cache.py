"""The keys and values of the rows of a generation: rows leave, and those of another generation come in.

Letters: n rows, h heads, T tokens kept.
"""

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from monoseme.tensors.shapes import Bool, Int, Tensor


class RowCache:
    """A cache of transformers, row by row."""

    def __init__(self, raw: Any) -> None:
        """`raw`: what a forward gave."""
        self.raw = raw
        layers: list[Any] = list(raw.layers) if isinstance(raw, DynamicCache) else []
        self.can_drop = bool(layers) and all(isinstance(layer, DynamicLayer) for layer in layers)
        """Whether it is keys and values alone: a row then is one index of its tensors."""
        self.can_join = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
        """Whether every layer keeps all tokens: rows of other lengths then differ by padding alone."""

    def take(self, rows: Int[Tensor, " m"], *, n_padding: int) -> None:
        """Keeps these rows, without the first `n_padding` columns; needs `can_drop`, and `can_join` for columns."""
        for layer in self.raw.layers:
            layer.batch_select_indices(rows.to(layer.keys.device))
            if n_padding:
                # Copied, so that the columns in front do not stay in memory.
                layer.keys, layer.values = layer.keys[:, :, n_padding:].clone(), layer.values[:, :, n_padding:].clone()

    def join(self, other: "RowCache") -> None:
        """Puts the other's rows behind these, the shorter ones padded on the left; both need `can_join`."""
        for own, new in zip(self.raw.layers, other.raw.layers, strict=True):
            width = max(own.keys.shape[-2], new.keys.shape[-2])
            own.keys = torch.cat([_padded(own.keys, width), _padded(new.keys, width)])
            own.values = torch.cat([_padded(own.values, width), _padded(new.values, width)])


def widened(attended: Bool[Tensor, "n T"], width: int) -> Bool[Tensor, "n W"]:
    """What attention may see, with padding on the left that it may not."""
    return torch.nn.functional.pad(attended, (width - attended.shape[1], 0), value=False)


def _padded(kept: Tensor, width: int) -> Tensor:
    """[n, h, width, d]: zeros on the left, which attention never looks at."""
    return torch.nn.functional.pad(kept, (0, 0, width - kept.shape[-2], 0))
