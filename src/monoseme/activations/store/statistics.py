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
| SITE/norm_sum | float64 [1] | of seen tokens |
| SITE/norm_counts | int64 [N_BINS] | seen tokens by norm (`norm_bins`) |
| SITE/place_n, SITE/place_norm_sum | int64, float64 [S] | seen tokens by place in the context |
| SITE/real_place_n, SITE/real_place_norm_sum | int64, float64 [S] | all real finite tokens by place: BOS and sinks too |
| SITE/sink_threshold | float64 [1] | longest norm that is no sink; infinity: none is |
| SITE/sink_place_n | int64 [S] | masked tokens longer than that, by place |
| SITE/sinks.norm, .document, .position, .place, .token | [64] | the longest of them (`sink_list`) |
| SITE/storage_squares | float64 [1] | of seen tokens: sum of the squared differences from what is stored |
| SITE/geometric_median | float64 [D] | of the sample; only in a finished store |
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.store.encode import StoredRows
from monoseme.activations.store.norm_bins import N_BINS, count_norms
from monoseme.activations.store.row_sample import Sample, hash_places
from monoseme.activations.store.sink_list import SinkList
from monoseme.kernels.moments import deviations, squared_error
from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.text.block import TokenBlock

_SAMPLE_SEED = 0
_SAMPLE_ROWS = 4096
_SAMPLE_NUMBERS = 1 << 23
"""Of the sample's rows at the widest site: 64 MB in float64, of which the median needs three times that."""

Arrays = Mapping[str, NDArray[Any]]
"""The table above, by name."""


class SiteRows(NamedTuple):
    """The real tokens of a block at a site, in reading order, as captured and as stored."""

    x: Float[Tensor, "R D"]
    """Any float type; contiguous float32 on the CPU is quickest."""
    stored: StoredRows
    """What `encode` makes of it; on the same device."""


class _Tokens(NamedTuple):
    """Of the real tokens of a block, in reading order."""

    mask: Bool[Tensor, " R"]
    seen: Bool[Tensor, " R"]
    """Masked in, and no sink at any site."""
    place: Int[Tensor, " R"]
    """In the context, from 0."""


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
        limits = {site: thresholds.get(str(site)) for site in widths}
        self._limits = {site: float("inf") if limit is None else limit for site, limit in limits.items()}
        self._shard, self._has_text, self._n_rows, self._context_len = shard, has_text, 0, context_len
        self._so_far = no_statistics(widths, context_len, self._limits)

    def add(self, text: TokenBlock, rows: Mapping[Site, SiteRows]) -> None:
        """The next block of the shard: the rows of its real tokens at every site.

        Blocks come whole and in their order: the bits of the sums depend on what is added at once.
        """
        mask = text.mask[text.real]
        norms = {site: rows[site].stored.norm.cpu() for site in self._limits}
        sinks = {site: mask & (norms[site] > limit) & norms[site].isfinite() for site, limit in self._limits.items()}
        any_sink = torch.stack(list(sinks.values())).any(dim=0)
        place = torch.arange(self._context_len).expand_as(text.real)[text.real]
        tokens = _Tokens(mask, mask & ~any_sink, place)
        found: dict[str, NDArray[Any]] = {**_counts(mask, any_sink), **self._offered(text, tokens.seen)}
        for site in self._limits:
            found |= _named(site, self._of_site(site, rows[site], norms[site], tokens))
            found |= _named(site, _of_sinks(text, sinks[site], norms[site], self._limits[site]))
        self._so_far = merged(self._so_far, found)
        self._n_rows += len(mask)

    def tensors(self) -> dict[str, Tensor]:
        """What the shard's file holds: `arrays_of` and `merged` take it from there."""
        return as_tensors(self._so_far)

    def _of_site(self, site: Site, rows: SiteRows, norms: Float[Tensor, " R"], tokens: _Tokens) -> Arrays:
        finite = norms.isfinite()
        seen = tokens.seen & finite
        kept = seen.nonzero().squeeze(1)
        x = rows.x.detach()
        before = self._so_far[f"{site}/mean"]
        about = torch.from_numpy(before) if self._so_far[f"{site}/n"][0] or not len(kept) else x[kept[0]].cpu().double()
        sums, squares = deviations(x, kept, about)
        n = max(len(kept), 1)
        exact = rows.stored.x.dtype == x.dtype
        lost = 0.0 if exact else squared_error(x, rows.stored.x, kept, scale=rows.stored.scale)
        chosen = norms[seen]
        return {
            "n": _one(len(kept)),
            "n_not_finite": _one(int((tokens.seen & ~finite).sum())),
            "mean": (about + sums / n).numpy(),
            "squares": (squares - sums.square() / n).clamp_(min=0).numpy(),
            "norm_sum": np.array([float(chosen.double().sum())]),
            "norm_counts": count_norms(chosen).numpy(),
            "storage_squares": np.array([lost]),
            **_by_place("place", tokens.place[seen], chosen, self._context_len),
            **_by_place("real_place", tokens.place[finite], norms[finite], self._context_len),
        }

    def _offered(self, text: TokenBlock, seen: Bool[Tensor, " R"]) -> Arrays:
        """The seen rows of a block as a sample, of any length and in any order of hashes."""
        row = seen.nonzero().squeeze(1).numpy() + self._n_rows
        shard = np.full(len(row), self._shard, np.int64)
        if self._has_text:
            documents, positions = (part[text.real][seen].long().numpy() for part in (text.documents, text.positions))
        else:
            documents, positions = shard, row
        return _of_sample(Sample(hash_places(_SAMPLE_SEED, documents, positions), shard, row))


def merged(so_far: Arrays, later: Arrays) -> dict[str, NDArray[Any]]:
    """The statistics of both, of which `later` comes later in the store. Sums are merged in float64.

    Source: Chan, Golub and LeVeque 1983, equation 1.5, for the mean and the squares.
    """
    both: dict[str, NDArray[Any]] = {}
    for key, ours in so_far.items():
        site, _, name = key.rpartition("/")
        if name == "mean":
            both |= _named(site, _merged_moments(so_far, later, site))
        elif name == "sinks.norm":
            both |= _named(site, _of_list(_list_of(so_far, site).with_sinks(_list_of(later, site))))
        elif name == "sample.hash":
            both |= _of_sample(sample_of(so_far).with_rows(sample_of(later)))
        elif name == "sink_threshold":
            both[key] = ours
        elif name != "squares" and not name.startswith(("sinks.", "sample.")):
            both[key] = ours + later[key]
    return both


def no_statistics(widths: Mapping[Site, int], context_len: int, limits: Mapping[Site, float]) -> Arrays:
    """Of no tokens at all: every array a file of statistics has, with its type and shape; `limits` are the sink thresholds."""
    none = torch.zeros(0, dtype=torch.bool)
    arrays = _counts(none, none) | _of_sample(Sample.empty(n_sampled(widths)))
    for site, width in widths.items():
        counts = {"n": 1, "n_not_finite": 1, "norm_counts": N_BINS, "place_n": context_len, "real_place_n": context_len}
        sums = {"mean": width, "squares": width, "norm_sum": 1, "storage_squares": 1}
        sums |= {"place_norm_sum": context_len, "real_place_norm_sum": context_len}
        arrays |= _named(site, {name: np.zeros(size, np.int64) for name, size in counts.items()})
        arrays |= _named(site, {name: np.zeros(size) for name, size in sums.items()})
        sinks = {"sink_threshold": np.array([limits[site]]), "sink_place_n": np.zeros(context_len, np.int64)}
        arrays |= _named(site, sinks | _of_list(SinkList.empty()))
    return arrays


def n_sampled(widths: Mapping[Any, int]) -> int:
    """Rows of the sample: 4,096, or fewer where sites are wider than 2,048."""
    return min(_SAMPLE_ROWS, _SAMPLE_NUMBERS // max(widths.values()))


def sample_of(arrays: Arrays) -> Sample:
    """The sample's places."""
    return Sample(*(arrays[f"sample.{name}"] for name in Sample._fields))


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """The tensors of a file as `merged` takes them."""
    return {key: value.numpy() for key, value in tensors.items()}


def as_tensors(arrays: Arrays) -> dict[str, Tensor]:
    """The inverse of `arrays_of`, sorted by name."""
    return {key: torch.from_numpy(np.ascontiguousarray(arrays[key])) for key in sorted(arrays)}


def sink_list(arrays: Arrays, site: Site | str) -> SinkList:
    """The sinks remembered at a site."""
    return _list_of(arrays, str(site)).listed()


def _merged_moments(so_far: Arrays, later: Arrays, site: str) -> Arrays:
    n_ours, n_theirs = float(so_far[f"{site}/n"][0]), float(later[f"{site}/n"][0])
    mean, squares = so_far[f"{site}/mean"], so_far[f"{site}/squares"]
    if n_theirs == 0:
        return {"mean": mean, "squares": squares}
    gap, n = later[f"{site}/mean"] - mean, n_ours + n_theirs
    return {
        "mean": mean + gap * (n_theirs / n),
        "squares": squares + later[f"{site}/squares"] + gap**2 * (n_ours * n_theirs / n),
    }


def _of_sinks(text: TokenBlock, sinks: Bool[Tensor, " R"], norms: Float[Tensor, " R"], limit: float) -> Arrays:
    n, s = text.real.shape
    if not sinks.any():
        found, counts = SinkList.empty(), np.zeros(s, np.int64)
    else:
        where = torch.zeros(n, s, dtype=torch.bool)
        where[text.real] = sinks
        found, counts = SinkList.of(text, where, norms[sinks]), where.sum(0).numpy()
    return {"sink_threshold": np.array([limit]), "sink_place_n": counts, **_of_list(found)}


def _by_place(name: str, place: Int[Tensor, " R"], norms: Float[Tensor, " R"], context_len: int) -> Arrays:
    counts = torch.bincount(place, minlength=context_len)
    sums = torch.bincount(place, weights=norms.double(), minlength=context_len)
    return {f"{name}_n": counts.numpy(), f"{name}_norm_sum": sums.numpy()}


def _counts(mask: Tensor, any_sink: Tensor) -> dict[str, NDArray[Any]]:
    return {"n_real": _one(len(mask)), "n_masked": _one(int(mask.sum())), "n_sinks": _one(int(any_sink.sum()))}


def _one(count: int) -> NDArray[np.int64]:
    return np.array([count], np.int64)


def _named(site: Site | str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {f"{site}/{name}": array for name, array in arrays.items()}


def _of_sample(sample: Sample) -> dict[str, NDArray[Any]]:
    return {f"sample.{name}": part for name, part in zip(Sample._fields, sample, strict=True)}


def _of_list(sinks: SinkList) -> dict[str, NDArray[Any]]:
    return {f"sinks.{name}": part for name, part in zip(SinkList._fields, sinks, strict=True)}


def _list_of(arrays: Arrays, site: str) -> SinkList:
    return SinkList(*(arrays[f"{site}/sinks.{name}"] for name in SinkList._fields))
