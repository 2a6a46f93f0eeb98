"""What is measured of the activations while they are captured: sums of a shard, merged into those of the store.

Everything is a sum, a count or a bounded list, in float64 and int64, so that shards are measured apart and merged in their order:
a store resumed or divided over processes has the statistics of one captured at a stretch, bit for bit. All arrays have a fixed
shape, so that their bytes are known before a run.

A token is *seen* when its mask is set, it is at no site longer than that site's sink threshold, and its vector at the site is
finite: what an SAE trains on. Letters: R real rows of a block, S positions of a context, D width of a site, n rows of the sample.

| tensor | type | of a block, a shard or a store |
|---|---|---|
| n_real, n_masked, n_sinks | int64 [1] | real tokens; those with the mask set; of these, sinks at any site |
| sample.hash, .shard, .row | int64 [n] | seen rows with the least hash (`row_sample`) |
| SITE/n, SITE/n_not_finite | int64 [1] | seen tokens; those left out for NaN or infinity |
| SITE/mean, SITE/squares | float64 [D] | of seen tokens: the mean, and the sum of the squared distances from it |
| SITE/norm_counts | int64 [N_BINS] | seen tokens by norm (`norm_bins`) |
| SITE/place_n, SITE/place_norm_sum | int64, float64 [S] | seen tokens by place in the context |
| SITE/real_place_n, SITE/real_place_norm_sum | int64, float64 [S] | all real finite tokens by place: BOS and sinks too |
| SITE/sink_threshold | float64 [1] | longest norm that is no sink; infinity: none is |
| SITE/sink_place_n | int64 [S] | masked tokens longer than that, by place |
| SITE/sinks.norm, .document, .position, .place, .token | [64] | the longest of them (`sink_list`) |
| SITE/storage_squares | float64 [1] | of seen tokens: sum of the squared differences from what is stored |
| SITE/geometric_median | float64 [D] | of the sample; only in a finished store |
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.store.encode import StoredRows
from monoseme.activations.store.merge import as_tensors, named
from monoseme.activations.store.row_sample import Sample, hash_places
from monoseme.activations.store.site_sums import SiteSums
from monoseme.kernels.row_norms import mark_longer
from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.text.block import TokenBlock

_SAMPLE_SEED = 0
_SAMPLE_ROWS = 4096
_SAMPLE_NUMBERS = 1 << 23
"""Of the sample's rows at the widest site: 64 MB in float64, of which the median needs three times that."""


class SiteRows(NamedTuple):
    """The real tokens of a block at a site, in reading order, as captured and as stored."""

    x: Float[Tensor, "R D"]
    """Any float type; contiguous float32 on the CPU is quickest."""
    stored: StoredRows
    """What `encode` makes of it; on the same device."""


class ShardStatistics:
    """The statistics of one shard, block after block."""

    def __init__(
        self,
        widths: Mapping[Site, int],
        context_len: int,
        thresholds: Mapping[str, float | None],
        *,
        shard: int,
        has_text: bool = True,
    ) -> None:
        """`thresholds` as in the index (`sink_thresholds`): empty, or None for a site where nothing is a sink."""
        self._sums: dict[Site, SiteSums] = {}
        for site, width in widths.items():
            limit = thresholds.get(str(site))
            self._sums[site] = SiteSums(width, context_len, math.inf if limit is None else limit)
        self._shard, self._has_text, self._context_len = shard, has_text, context_len
        self._n_real = self._n_masked = self._n_sinks = 0
        self._sample = Sample.empty(n_sampled(widths))

    def add(self, text: TokenBlock, rows: Mapping[Site, SiteRows]) -> None:
        """The next block of the shard: the rows of its real tokens at every site.

        Blocks come whole and in their order: the last bits of the sums depend on what is added at once.
        """
        mask = _real(text, text.mask)
        sinks = self._add_sinks(text, mask, rows)
        seen = mask & ~sinks
        place = _real(text, torch.arange(self._context_len).expand_as(text.real))
        for site, sums in self._sums.items():
            sums.add(rows[site].x.detach(), rows[site].stored, seen, place)
        self._sample = self._sample.with_rows(self._offered(text, seen))
        self._n_real += len(mask)
        self._n_masked += int(mask.sum())
        self._n_sinks += int(sinks.sum())

    def tensors(self) -> dict[str, Tensor]:
        """What the shard's file holds."""
        return as_tensors(self._arrays())

    def _arrays(self) -> dict[str, NDArray[Any]]:
        counts = {"n_real": self._n_real, "n_masked": self._n_masked, "n_sinks": self._n_sinks}
        arrays = {name: np.array([count]) for name, count in counts.items()} | self._sample.arrays()
        for site, sums in self._sums.items():
            arrays |= named(site, sums.arrays())
        return arrays

    def _add_sinks(self, text: TokenBlock, mask: Bool[Tensor, " R"], rows: Mapping[Site, SiteRows]) -> Bool[Tensor, " R"]:
        """Counts the sinks of each site; those of any."""
        found = torch.zeros_like(mask)
        for site, sums in self._sums.items():
            if sums.limit < math.inf:
                norms = rows[site].stored.norm.cpu()
                sums.add_sinks(text, mark_longer(norms, sums.limit, mask, found), norms)
        return found

    def _offered(self, text: TokenBlock, seen: Bool[Tensor, " R"]) -> Sample:
        """The seen rows of a block, in their order."""
        row = seen.nonzero().squeeze(1).numpy() + self._n_real
        shard = np.full(len(row), self._shard, np.int64)
        if self._has_text:
            documents, positions = (_real(text, part)[seen].long().numpy() for part in (text.documents, text.positions))
        else:
            documents, positions = shard, row
        return Sample(hash_places(_SAMPLE_SEED, documents, positions), shard, row)


def no_statistics(widths: Mapping[Site, int], context_len: int) -> dict[str, Tensor]:
    """Of no tokens: the tensors of any shard's file by type and shape, which depend on nothing else."""
    return ShardStatistics(widths, context_len, {}, shard=0).tensors()


def n_sampled(widths: Mapping[Site, int]) -> int:
    """Rows of the sample: 4,096, or fewer where sites are wider than 2,048."""
    return min(_SAMPLE_ROWS, _SAMPLE_NUMBERS // max(widths.values()))


def _real(text: TokenBlock, part: Tensor) -> Tensor:
    """What `part` [n, S] says of the real tokens, in reading order. Mostly all are, and need not be looked up."""
    return part.flatten() if bool(text.real.all()) else part[text.real]
