"""A finished store has the merged statistics of its shards, and the geometric median of a sample that is read back."""

from pathlib import Path

import numpy as np
import pytest
import torch

from monoseme.activations.store.encode import decode, encode
from monoseme.activations.store.finish_statistics import read_rows, write_statistics
from monoseme.activations.store.layout import Index, shard_name
from monoseme.activations.store.measured import StoreStatistics
from monoseme.activations.store.row_sample import Sample, hash_places
from monoseme.activations.store.statistics import ShardStatistics, SiteRows
from monoseme.core.folder import Folder, LocalFolder
from monoseme.models.site import Site
from monoseme.saes._dictionary import geometric_median
from monoseme.tensors.tensor_file import write_tensors
from monoseme.text.block import TokenBlock

_S, _D = 11, 7
_SITE = Site.parse("resid_post.0")


class _Unmapped(LocalFolder):
    """Files at an address: they can only be read by range."""

    def map(self, name: str) -> None:
        del name


def _text(n: int, first: int) -> TokenBlock:
    real = torch.ones(n, _S, dtype=torch.bool)
    real[-1, 7:] = False
    mask = real.clone()
    mask[:, 0] = False
    documents = (torch.arange(n).unsqueeze(1) + first).expand(n, _S)
    positions = torch.arange(-1, _S - 1).expand(n, _S)
    narrow = torch.zeros(n, _S, dtype=torch.int8)
    return TokenBlock(documents * 0, mask, real, documents, documents, positions, narrow, narrow.short())


def _store(folder: Folder, sizes: list[int], dtype: str = "bfloat16") -> tuple[Index, torch.Tensor]:
    """Shards of these numbers of contexts, all of one stream of rows; the seen rows as they are stored."""
    stream = torch.Generator().manual_seed(7)
    seen: list[torch.Tensor] = []
    first = 0
    for shard, n in enumerate(sizes):
        statistics = ShardStatistics({_SITE: _D}, _S, {}, shard=shard)
        text = _text(n, first)
        x = torch.randn(int(text.real.sum()), _D, generator=stream).exp()
        stored = encode(x, dtype)
        statistics.add(text, {_SITE: SiteRows(x, stored)})
        tensors = {"x": stored.x, "norm": stored.norm} | ({} if stored.scale is None else {"scale": stored.scale})
        write_tensors(folder, shard_name(shard, str(_SITE)), tensors)
        write_tensors(folder, shard_name(shard, "statistics"), statistics.tensors())
        seen.append(decode(stored.x, stored.scale)[text.mask[text.real]])
        first += n
    index = Index(
        sites=[str(_SITE)],
        widths={str(_SITE): _D},
        dtype=dtype,
        context_len=_S,
        contexts_per_block=max(sizes),
        has_text=True,
        sink_factor=None,
        sink_thresholds={},
        shards=[{"n_contexts": n, "n_heldout": 0, "n_rows": 0} for n in sizes],
    )
    return index, torch.cat(seen)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("kind", [LocalFolder, _Unmapped])
def test_the_median_is_that_of_the_rows_as_they_are_stored(tmp_path: Path, kind: type[LocalFolder], dtype: str):
    folder = kind(tmp_path)
    index, seen = _store(folder, [5, 3, 2], dtype)
    write_statistics(folder, index)
    found = StoreStatistics.read(folder)
    assert found.n(_SITE) == len(seen)
    # All rows fit into the sample; they are read in the order of the store.
    torch.testing.assert_close(found.geometric_median(_SITE), geometric_median(seen), rtol=0, atol=0)


def test_the_same_store_gives_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        folder = LocalFolder(tmp_path / name)
        write_statistics(folder, _store(folder, [5, 3])[0])
    first, second = (LocalFolder(tmp_path / name).read("statistics.safetensors") for name in ("a", "b"))
    assert first == second


def test_the_sample_is_the_least_hashes_of_all_rows():
    documents, positions = (part.flatten() for part in np.meshgrid(np.arange(50), np.arange(20), indexing="ij"))
    hashes = hash_places(3, documents, positions)
    assert len(np.unique(hashes)) == 1000
    assert hashes.min() >= 0
    parts = [Sample(part, np.full(len(part), i), np.arange(len(part))) for i, part in enumerate(np.split(hashes, [100, 650]))]
    kept = Sample.empty(37)
    for part in parts:
        kept = kept.with_rows(part)
    assert kept.hash.tolist() == sorted(hashes)[:37]
    order = list(zip(kept.in_store_order().shard, kept.in_store_order().row, strict=True))
    assert order == sorted(order)


def test_of_rows_with_one_hash_the_first_are_sampled():
    same = Sample(np.zeros(5, np.int64), np.zeros(5, np.int64), np.arange(5))
    assert Sample.empty(3).with_rows(same).with_rows(same._replace(shard=np.ones(5, np.int64))).row.tolist() == [0, 1, 2]


def test_rows_are_read_from_their_shards(tmp_path: Path):
    folder = LocalFolder(tmp_path)
    _store(folder, [5, 3], "float32")
    one = torch.from_numpy(np.asarray(read_rows(folder, _SITE, Sample(np.arange(3), np.array([0, 1, 1]), np.array([2, 0, 4])))))
    assert one.shape == (3, _D)


def test_the_hash_is_a_fair_coin():
    hashes = hash_places(0, np.arange(10_000), np.zeros(10_000, np.int64))
    # 10,000 tosses: five standard deviations are 250.
    for bit in (0, 1, 31, 61, 62):
        assert abs(int(((hashes >> bit) & 1).sum()) - 5000) < 250
