"""The sums of one site while a shard is captured. Letters: R real rows of a block, S positions of a context, D width."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.store.encode import StoredRows
from monoseme.activations.store.norm_bins import empty_spread
from monoseme.activations.store.sink_list import SinkList
from monoseme.kernels.moments import RowSums, Stored, add_rows
from monoseme.kernels.row_norms import Longer, add_norms
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.text.block import TokenBlock


class SiteSums:
    """Added to block by block."""

    def __init__(self, width: int, context_len: int, limit: float) -> None:
        """`limit`: longest norm that is no sink."""
        self.limit = limit
        self._context_len = context_len
        self._n = 0
        self._rows = RowSums.zero(np.zeros(width))
        self._spread = empty_spread(context_len)
        self._sink_place_n = np.zeros(context_len, np.int64)
        self._sinks = SinkList.empty()

    def add(self, x: Float[Tensor, "R D"], stored: StoredRows, seen: Bool[Tensor, " R"], place: Int[Tensor, " R"]) -> None:
        """Rows of a block at their places in the context; `seen`: the mask is set, and it is no sink at any site."""
        kept = add_norms(self._spread, stored.norm.cpu(), seen, place)
        if not len(kept):
            return
        if not self._n:
            self._rows = RowSums.zero(_mean(x, kept))
        exact = stored.x.dtype == x.dtype
        add_rows(self._rows, x, kept, None if exact else Stored(stored.x, stored.scale))
        self._n += len(kept)

    def add_sinks(self, text: TokenBlock, sinks: Longer, norms: Float[Tensor, " R"]) -> None:
        """The sinks of a block."""
        if not sinks.n:
            return
        where = torch.zeros_like(text.real)
        where[text.real] = sinks.marked
        self._sink_place_n += where.sum(0).numpy()
        self._sinks = self._sinks.with_sinks(SinkList.of(text, where, norms[sinks.marked]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As the table in `monoseme.activations.store.statistics` names them."""
        n, rows, spread = max(self._n, 1), self._rows, self._spread
        return {
            "n": np.array([self._n]),
            "n_not_finite": spread.n_not_finite,
            "mean": rows.about + rows.sums / n,
            "squares": np.maximum(rows.squares - rows.sums**2 / n, 0.0),
            "norm_counts": spread.bins,
            "place_n": spread.place_n[0],
            "place_norm_sum": spread.place_sums[0],
            "real_place_n": spread.place_n[1],
            "real_place_norm_sum": spread.place_sums[1],
            "sink_threshold": np.array([self.limit]),
            "sink_place_n": self._sink_place_n,
            "storage_squares": rows.lost,
            **self._sinks.arrays(),
        }


def _mean(x: Float[Tensor, "R D"], kept: Int[Tensor, " K"]) -> NDArray[np.float64]:
    """Deviations from the mean of the first rows there are cancel nothing, however far that is from zero."""
    first = RowSums.zero(x[kept[0]].double().cpu().numpy())
    add_rows(first, x, kept)
    return first.about + first.sums / len(kept)
