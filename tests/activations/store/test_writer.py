"""A store holds what it was given, is the same however its making was broken off, and says what is wrong."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.activations.store.supplies import ONE, TWO, FakeSupply, S
from tests.activations.store.writing import bytes_of, files_of, write_small

from monoseme.activations.store.config import BYTES, StorageConfig, StoredDtype
from monoseme.activations.store.encode import decode
from monoseme.activations.store.layout import Index, ShardRecord, shard_name
from monoseme.activations.store.shard_writer import NewShard, ShardKind, write_shard
from monoseme.activations.store.writer import StoreSummary
from monoseme.core.artifact import check_artifact, open_artifact
from monoseme.core.display import SilentDisplay, use_display
from monoseme.core.errors import (
    ConfigError,
    EmptyCorpusError,
)
from monoseme.core.folder import LocalFolder
from monoseme.tensors.processes import Group


def test_a_store_is_a_sound_artifact(tmp_path: Path) -> None:
    summary = write_small(tmp_path / "a")
    artifact = open_artifact(tmp_path / "a", kind="activations")
    assert check_artifact(tmp_path / "a") == []
    assert artifact.config == {"model": "fake"}
    assert artifact.inputs == {"model": "sha256:m", "text": "sha256:t"}
    assert set(artifact.manifest["files"]) == set(LocalFolder(tmp_path / "a").names()) - {"manifest.json"}
    assert summary == StoreSummary(4, 23, 6, 23 * S, summary.n_bytes, summary.storage_errors)
    assert summary.n_bytes == sum(len(data) for name, data in files_of(tmp_path / "a").items() if name != "manifest.json")
    assert {site: error.squares for site, error in summary.storage_errors.items()} == {str(ONE): 0.0, str(TWO): 0.0}


@pytest.mark.parametrize("padded", [False, True])
def test_float32_rows_are_those_given_and_padding_is_not_stored(tmp_path: Path, padded: bool) -> None:
    supply = FakeSupply(padded=padded)
    write_small(tmp_path / "a", supply)
    index = Index.from_json(json.loads((tmp_path / "a/index.json").read_text()), where="index")
    for number, counts in enumerate(index.shards):
        blocks = [i for i in (2 * number, 2 * number + 1) if supply.has_block(i)]
        texts = [supply.text(i) for i in blocks]
        text = load_file(tmp_path / "a" / shard_name(number, "text"))
        real = torch.cat([t.real for t in texts])
        assert counts["n_rows"] == int(real.sum())
        assert torch.equal(text["real"].bool(), real)
        for name in ("tokens", "mask", "documents", "sources", "positions", "roles", "turns"):
            assert torch.equal(text[name].long(), torch.cat([getattr(t, name) for t in texts]).long()), name
        assert text["heldout"].tolist() == [int(supply.is_heldout(i)) for i, t in zip(blocks, texts, strict=True) for _ in t.real]
        for site in supply.sites:
            given = torch.cat([supply.vectors(i, t)[site] for i, t in zip(blocks, texts, strict=True)])[real]
            found = load_file(tmp_path / "a" / shard_name(number, str(site)))
            assert torch.equal(found["x"], given)
            assert torch.equal(found["norm"], given.norm(dim=-1))


@pytest.mark.parametrize("dtype", list(BYTES))
def test_each_type_reads_back_within_its_rounding_and_says_how_far_off_it_is(tmp_path: Path, dtype: StoredDtype) -> None:
    supply = FakeSupply(2)
    summary = write_small(tmp_path / "a", supply, StorageConfig(dtype=dtype, shard_bytes=7000))
    given = torch.cat([supply.vectors(i, supply.text(i))[ONE] for i in range(2)]).flatten(0, 1)
    found = load_file(tmp_path / "a" / shard_name(0, str(ONE)))
    off = (decode(found["x"], found.get("scale")) - given).double()
    assert float(off.norm() / given.norm()) < {"float32": 1e-12, "bfloat16": 3e-3, "float16": 4e-4, "int8": 6e-3}[dtype]
    seen = torch.cat([supply.text(i).mask for i in range(2)]).flatten()
    assert summary.storage_errors[str(ONE)].squares == pytest.approx(float(off[seen].square().sum()), rel=1e-9)


def test_what_cannot_be_stored_ends_the_capture_and_names_the_site(tmp_path: Path) -> None:
    class Overflowing(FakeSupply):
        def vectors(self, i: int, text: Any) -> Any:
            found = dict(super().vectors(i, text))
            if i == 3:
                found[TWO] = found[TWO] * 1e39
            return found

    supply = Overflowing()
    with pytest.raises(ConfigError, match=r"the vectors of mlp_out\.1 hold NaN or infinity"):
        write_small(tmp_path / "a", supply)
    assert LocalFolder(tmp_path / "a").names() == ["capture.json", *(n for n in whole_names(0))]


def whole_names(number: int) -> Iterator[str]:
    yield shard_name(number, "")
    yield from sorted(shard_name(number, part) for part in (str(TWO), str(ONE), "statistics", "text"))


def test_an_empty_supply_is_said(tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpusError):
        write_small(tmp_path / "a", FakeSupply(0))


@pytest.mark.parametrize("padded", [False, True])
def test_max_bytes_ends_at_a_whole_shard_and_is_kept_to(tmp_path: Path, padded: bool) -> None:
    all_of_it = write_small(tmp_path / "all", FakeSupply(12, padded=padded))
    for most in (all_of_it.n_bytes * 2 // 3, all_of_it.n_bytes * 9 // 10):
        storage = StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=most)
        summary = write_small(tmp_path / str(most), FakeSupply(12, padded=padded), storage)
        n_bytes = sum(len(data) for data in files_of(tmp_path / str(most)).values())
        assert n_bytes <= most
        assert 1 <= summary.n_shards < all_of_it.n_shards
        # Not one shard less than fits, but for the 32 KiB that are kept free for what is not shards.
        assert most - n_bytes < 32_768 + all_of_it.n_bytes / all_of_it.n_shards * 1.5
        for number in range(summary.n_shards):
            name = shard_name(number, "text")
            assert (tmp_path / str(most) / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


def test_max_bytes_below_one_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the first shard alone"):
        write_small(tmp_path / "a", storage=StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=20_000))


@pytest.mark.parametrize("most", [None, 800_000])
def test_shards_divided_over_processes_make_the_same_store(tmp_path: Path, most: int | None) -> None:
    storage = StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=most)
    write_small(tmp_path / "one", FakeSupply(11, padded=True), storage)
    supplies = [FakeSupply(11, padded=True) for _ in range(3)]
    gate = threading.Barrier(3)
    failed: list[BaseException] = []

    class Waiting(Group):
        def wait(self) -> None:
            gate.wait(20)

    def run(rank: int) -> None:
        try:
            write_small(tmp_path / "three", supplies[rank], storage, processes=Waiting(rank=rank, size=3))
        except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread
            failed.append(error)
            gate.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert bytes_of(tmp_path / "three") == bytes_of(tmp_path / "one")
    asked = [i for supply in supplies for i in supply.asked]
    assert len(asked) == len(set(asked))
    assert all(supply.asked for supply in supplies)


def test_several_hands_write_the_same_bytes(tmp_path: Path) -> None:
    supply = FakeSupply(padded=True)
    texts = [supply.text(i) for i in range(5)]
    kind = ShardKind(widths=supply.widths, dtype="int8", context_len=S, has_text=True, sink_thresholds={})
    shard = NewShard(number=0, texts=texts, heldout=[False] * 5)
    with ThreadPoolExecutor(3) as hands:
        for name, several in (("one", None), ("three", hands)):
            blocks = (supply.vectors(i, text) for i, text in enumerate(texts))
            write_shard(LocalFolder(tmp_path / name), kind, shard, blocks, hands=several)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "three")


class _Counting(SilentDisplay):
    """Notes what a bar is told."""

    def __init__(self) -> None:
        self.totals: list[int | None] = []
        self.done = 0

    @contextlib.contextmanager
    def progress(self, description: str, *, total: int | None, unit: str) -> Iterator["_Counting"]:
        self.totals.append(total)
        yield self

    def advance(self, n: int = 1, **facts: str | float) -> None:
        self.done += n


def test_the_bar_counts_real_tokens_and_knows_where_a_size_cap_ends(tmp_path: Path) -> None:
    display = _Counting()
    with use_display(display):
        summary = write_small(tmp_path / "a", FakeSupply(padded=True))
        assert (display.totals, display.done) == ([None], summary.n_tokens)
        most = 500_000
        write_small(tmp_path / "b", FakeSupply(), StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=most))
    assert display.totals[1] == most * S // (1 + S * (29 + 4 + 4 + 4 * (5 + 7)))


def test_a_record_says_what_the_shard_holds(tmp_path: Path) -> None:
    write_small(tmp_path / "a", FakeSupply(padded=True))
    for number in range(4):
        record = ShardRecord.from_json(json.loads((tmp_path / "a" / shard_name(number, "")).read_text()), where="record")
        for name, facts in record.files.items():
            data = (tmp_path / "a" / name).read_bytes()
            assert facts == {"hash": f"sha256:{hashlib.sha256(data).hexdigest()}", "bytes": len(data)}
