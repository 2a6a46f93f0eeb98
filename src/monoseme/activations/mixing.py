"""How well a stream mixes documents, measured on its batches. Letters: B items of a batch."""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from monoseme.activations.views import Batch
from monoseme.core.errors import UndefinedMetricError
from monoseme.tensors.shapes import Int, Tensor


class MixingReport(NamedTuple):
    """Shares of pairs of items that come from one document; in [0, 1], smaller is better mixed."""

    neighbours: float
    """Of items next to each other in a batch."""
    within_batch: float
    """Of all pairs of items of a batch."""
    perfect: float
    """Of all pairs of all items seen: what `within_batch` tends to when every batch is drawn from all of them."""
    n_items: int
    n_batches: int


def measure_mixing(batches: Iterable[Batch]) -> MixingReport:
    """Counts over the batches given; sums are integers. For pairs and contexts, an item is of its first slot's document.

    Raises UndefinedMetricError if no batch has two items.
    """
    neighbours = steps = together = pairs = n_batches = 0
    seen: list[Tensor] = []
    for batch in batches:
        documents = batch.documents.reshape(batch.n_items, -1)[:, 0]
        n_batches += 1
        seen.append(documents)
        neighbours += int((documents[1:] == documents[:-1]).sum())
        steps += batch.n_items - 1
        together += _pairs_together(documents)
        pairs += _n_pairs(batch.n_items)
    if not pairs:
        raise UndefinedMetricError("mixing is measured between items of a batch; no batch has two")
    everything = torch.cat(seen)
    perfect = _pairs_together(everything) / _n_pairs(len(everything))
    return MixingReport(neighbours / steps, together / pairs, perfect, len(everything), n_batches)


def _pairs_together(documents: Int[Tensor, " B"]) -> int:
    counts = documents.unique(return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _n_pairs(n: int) -> int:
    return n * (n - 1) // 2
