"""A store holds what it was given, is the same however its making was broken off, and says what is wrong."""

import contextlib
import errno
import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.activations.store.supplies import ONE, TWO, FakeSupply, S

from monoseme.activations.store.config import BYTES, StorageConfig, StoredDtype
from monoseme.activations.store.encode import decode
from monoseme.activations.store.layout import Index, ShardRecord, shard_name
from monoseme.activations.store.shard_writer import NewShard, ShardKind, write_shard
from monoseme.activations.store.writer import StoreSummary, write_store
from monoseme.core.artifact import check_artifact, open_artifact
from monoseme.core.display import SilentDisplay, use_display
from monoseme.core.errors import (
    ArtifactExistsError,
    ConfigError,
    DiskFullError,
    EmptyCorpusError,
    Interrupted,
    ResumeError,
)
from monoseme.core.folder import LocalFolder, open_folder
from monoseme.tensors.processes import Group

SMALL = StorageConfig(dtype="float32", shard_bytes=7000)
"""Two blocks to a shard."""


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of small files, each flushed to the disk, would take half a minute, and no power cut is simulated here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def _write(
    path: Path, supply: FakeSupply | None = None, storage: StorageConfig = SMALL, *, resume: bool = False, **options: Any
) -> StoreSummary:
    return write_store(
        LocalFolder(path),
        supply or FakeSupply(),
        storage,
        config=options.pop("config", {"model": "fake"}),
        inputs={"model": "sha256:m", "text": lambda: "sha256:t"},
        resume=resume,
        **options,
    )


def _bytes(path: Path) -> dict[str, bytes]:
    """Every file, hidden ones too; the manifest without what is no part of the content."""
    found = {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    if "manifest.json" in found:
        manifest = {k: v for k, v in json.loads(found["manifest.json"]).items() if k != "environment"}
        found["manifest.json"] = json.dumps(manifest, sort_keys=True).encode()
    return found


def test_a_store_is_a_sound_artifact(tmp_path: Path) -> None:
    summary = _write(tmp_path / "a")
    artifact = open_artifact(tmp_path / "a", kind="activations")
    assert check_artifact(tmp_path / "a") == []
    assert artifact.config == {"model": "fake"}
    assert artifact.inputs == {"model": "sha256:m", "text": "sha256:t"}
    assert set(artifact.manifest["files"]) == set(LocalFolder(tmp_path / "a").names()) - {"manifest.json"}
    assert summary == StoreSummary(4, 23, 6, 23 * S, summary.n_bytes, summary.storage_errors)
    assert summary.n_bytes == sum(len(data) for name, data in _files(tmp_path / "a").items() if name != "manifest.json")
    assert {site: error.squares for site, error in summary.storage_errors.items()} == {str(ONE): 0.0, str(TWO): 0.0}


def _files(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("padded", [False, True])
def test_float32_rows_are_those_given_and_padding_is_not_stored(tmp_path: Path, padded: bool) -> None:
    supply = FakeSupply(padded=padded)
    _write(tmp_path / "a", supply)
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
    summary = _write(tmp_path / "a", supply, StorageConfig(dtype=dtype, shard_bytes=7000))
    given = torch.cat([supply.vectors(i, supply.text(i))[ONE] for i in range(2)]).flatten(0, 1)
    found = load_file(tmp_path / "a" / shard_name(0, str(ONE)))
    off = (decode(found["x"], found.get("scale")) - given).double()
    assert float(off.norm() / given.norm()) < {"float32": 1e-12, "bfloat16": 3e-3, "float16": 4e-4, "int8": 6e-3}[dtype]
    seen = torch.cat([supply.text(i).mask for i in range(2)]).flatten()
    assert summary.storage_errors[str(ONE)].squares == pytest.approx(float(off[seen].square().sum()), rel=1e-9)


class _Killed(BaseException):
    """As a kill: nothing of ours catches it."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("whole") / "a"
    _write(path, FakeSupply(padded=True))
    return _bytes(path)


class _Dying(LocalFolder):
    """A folder in which the n-th step, of those that leave a trace on the disk, does not happen, nor any after it."""

    def __init__(self, path: Path, n: int) -> None:
        super().__init__(path)
        self.left, self.dead = n, False

    def step(self) -> None:
        if self.left == 0:
            self.dead = True
            raise _Killed
        self.left -= 1

    def create(self, name: str) -> Any:
        self.step()
        return super().create(name)

    def write(self, name: str, data: bytes | str) -> None:
        self.step()
        super().write(name, data)

    def remove(self, name: str) -> None:
        self.step()
        super().remove(name)


def test_broken_off_at_any_step_and_resumed_it_is_the_same_store(tmp_path: Path) -> None:
    _write(tmp_path / "whole", FakeSupply(4, padded=True))
    whole, n_steps = _bytes(tmp_path / "whole"), 0
    for n in range(100):
        path = tmp_path / str(n)
        folder = _Dying(path, n)
        options: dict[str, Any] = {"config": {"model": "fake"}, "inputs": {"model": "sha256:m", "text": lambda: "sha256:t"}}
        try:
            write_store(folder, FakeSupply(4, padded=True), SMALL, **options)
            break
        except _Killed:
            n_steps += 1
        (path / "shards").mkdir(parents=True, exist_ok=True)
        (path / "shards/.left.json.2147483647.draft").write_text("{")  # what a kill leaves behind
        (path / "shards/.00001.text.safetensors.2147483647.part").write_bytes(b"half")
        _write(path, FakeSupply(4, padded=True), resume=True)
        assert _bytes(path) == whole, f"after step {n}"
    assert n_steps == 1 + 2 * 5 + 4  # capture.json; four files and a record of each shard; statistics, index, manifest, removal


@pytest.mark.skipif(os.name == "nt", reason="nothing is held on Windows")
def test_a_second_writer_is_refused_and_the_first_comes_to_its_end(tmp_path: Path, whole: dict[str, bytes]) -> None:
    refused: list[str] = []

    def also_resume(i: int) -> None:
        if i == 3:
            with pytest.raises(ArtifactExistsError) as error:
                _write(tmp_path / "a", FakeSupply(padded=True), resume=True)
            refused.append(str(error.value))

    supply = FakeSupply(padded=True)
    supply.before_vectors = also_resume
    _write(tmp_path / "a", supply)
    assert len(refused) == 1
    assert "another process is writing to" in refused[0]
    assert _bytes(tmp_path / "a") == whole


def test_a_setting_that_fails_before_the_first_shard_leaves_nothing_so_that_its_advice_can_be_followed(tmp_path: Path) -> None:
    for resume in (False, True):
        with pytest.raises(ConfigError, match="Give more, or lower shard_bytes"):
            _write(tmp_path / "a", storage=StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=1), resume=resume)
        assert not (tmp_path / "a").exists()
    supply = FakeSupply()
    given = supply.vectors
    supply.vectors = lambda i, text: {site: x * 1e6 for site, x in given(i, text).items()}  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="--dtype bfloat16"):
        _write(tmp_path / "a", supply, StorageConfig(dtype="float16", shard_bytes=7000))
    assert not [p for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert _write(tmp_path / "a", storage=StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=500_000)).n_shards == 2


def test_a_resume_makes_only_what_is_not_there(tmp_path: Path, whole: dict[str, bytes]) -> None:
    supply = FakeSupply(padded=True)

    def stop(i: int) -> None:
        if i == 5:
            raise ConfigError("out of patience")

    supply.before_vectors = stop
    with pytest.raises(ConfigError, match="out of patience"):
        _write(tmp_path / "a", supply)
    assert shard_name(1, "") in LocalFolder(tmp_path / "a").names()
    assert shard_name(2, "") not in LocalFolder(tmp_path / "a").names()
    again = FakeSupply(padded=True)
    _write(tmp_path / "a", again, resume=True)
    assert again.asked == [4, 5, 6, 7]
    assert _bytes(tmp_path / "a") == whole


def _stopped(path: Path, at: int = 5) -> None:
    """A capture that has finished two shards."""
    supply = FakeSupply(padded=True)
    supply.before_vectors = _killer(at)
    with pytest.raises(_Killed):
        _write(path, supply)


def _killer(at: int) -> Callable[[int], None]:
    def kill(i: int) -> None:
        if i == at:
            raise _Killed

    return kill


@pytest.mark.parametrize("damage", ["cut", "missing", "record"])
def test_a_damaged_shard_is_told_and_made_again(tmp_path: Path, whole: dict[str, bytes], damage: str) -> None:
    _stopped(tmp_path / "a")
    file = tmp_path / "a" / shard_name(0, str(TWO))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "missing":
        file.unlink()
    else:
        (tmp_path / "a" / shard_name(0, "")).write_text('{"number": ')
    again = FakeSupply(padded=True)
    with pytest.warns(UserWarning, match="shard 0 .* is damaged and is made again"):
        _write(tmp_path / "a", again, resume=True)
    assert again.asked == [0, 1, 4, 5, 6, 7]
    assert _bytes(tmp_path / "a") == whole


def test_a_resume_of_another_capture_names_what_differs(tmp_path: Path) -> None:
    _stopped(tmp_path / "a")
    with pytest.raises(ResumeError, match=r"config\.model is 'other', was 'fake'"):
        _write(tmp_path / "a", FakeSupply(padded=True), resume=True, config={"model": "other"})
    with pytest.raises(ResumeError, match=r"storage\.dtype is 'int8', was 'float32'"):
        _write(tmp_path / "a", FakeSupply(padded=True), StorageConfig(dtype="int8", shard_bytes=7000), resume=True)
    with pytest.raises(ResumeError, match=r"supply\.padded is False, was True"):
        _write(tmp_path / "a", FakeSupply(), resume=True)


def test_a_resume_with_another_text_says_so(tmp_path: Path) -> None:
    _stopped(tmp_path / "a")
    other = FakeSupply(padded=True)
    other.text_seed = 1
    with pytest.raises(ResumeError, match="the text has changed since this capture began: shard 0"):
        _write(tmp_path / "a", other, resume=True)
    shorter = FakeSupply(2, padded=True)
    shorter.text = FakeSupply(padded=True).text  # type: ignore[method-assign]
    with pytest.raises(ResumeError, match="the text has become shorter"):
        _write(tmp_path / "a", shorter, resume=True)


def test_a_folder_in_use_is_not_written_to(tmp_path: Path) -> None:
    _stopped(tmp_path / "a")
    before = _files(tmp_path / "a")
    with pytest.raises(ArtifactExistsError, match="a capture that is not finished"):
        _write(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/mine.txt").write_text("precious")
    for resume in (False, True):
        with pytest.raises(ArtifactExistsError):
            _write(tmp_path / "b", resume=resume)
    assert _files(tmp_path / "a") == before
    assert _files(tmp_path / "b") == {"mine.txt": b"precious"}


def test_a_finished_store_is_left_alone(tmp_path: Path) -> None:
    first = _write(tmp_path / "a")
    before = _files(tmp_path / "a")
    supply = FakeSupply()
    assert _write(tmp_path / "a", supply, resume=True) == first
    assert supply.asked == []
    assert _files(tmp_path / "a") == before
    with pytest.raises(ArtifactExistsError):
        _write(tmp_path / "a")
    with pytest.raises(ResumeError, match="other settings"):
        _write(tmp_path / "a", resume=True, config={"model": "other"})


def test_threads_are_those_of_the_beginning(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    _stopped(tmp_path / "a")
    file = tmp_path / "a/capture.json"
    told = json.loads(file.read_text())
    told["measured"]["threads"] = before + 1
    file.write_text(json.dumps(told))
    supply, seen = FakeSupply(padded=True), set[int]()
    supply.before_vectors = lambda i: seen.add(torch.get_num_threads())
    _write(tmp_path / "a", supply, resume=True)
    assert seen == {before + 1}
    assert torch.get_num_threads() == before


def test_an_interrupt_keeps_what_was_finished(tmp_path: Path, whole: dict[str, bytes]) -> None:
    supply = FakeSupply(padded=True)
    supply.before_vectors = lambda i: signal.raise_signal(signal.SIGINT) if i == 4 else None
    with pytest.raises(Interrupted, match="the shards that were finished are kept") as stopped:
        _write(tmp_path / "a", supply)
    assert stopped.value.exit_code == 130
    names = LocalFolder(tmp_path / "a").names()
    assert shard_name(1, "") in names
    assert not any("00002" in name for name in names)
    assert not list((tmp_path / "a/shards").glob(".*"))
    _write(tmp_path / "a", FakeSupply(padded=True), resume=True)
    assert _bytes(tmp_path / "a") == whole


class _FullFolder(LocalFolder):
    """A disk on which so many bytes fit."""

    def __init__(self, path: Path, n_bytes: int) -> None:
        super().__init__(path)
        self.left = n_bytes

    def create(self, name: str) -> Any:
        return _Full(super().create(name), self)


class _Full:
    def __init__(self, inner: Any, folder: _FullFolder) -> None:
        self.inner, self.folder = inner, folder

    def __enter__(self) -> "_Full":
        self.file = self.inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self.inner.__exit__(*error)

    def write(self, data: Any) -> None:
        self.folder.left -= len(data)
        if self.folder.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.file.write(data)


def test_a_full_disk_is_one_error_and_leaves_the_finished_shards(tmp_path: Path, whole: dict[str, bytes]) -> None:
    shard = sum(len(data) for name, data in whole.items() if name.startswith("shards/00000"))
    for n_bytes in (100, shard // 2, shard + shard // 3, 3 * shard):
        path = tmp_path / str(n_bytes)
        with pytest.raises(DiskFullError, match="the disk is full"):
            write_store(
                _FullFolder(path, n_bytes),
                FakeSupply(padded=True),
                SMALL,
                config={"model": "fake"},
                inputs={"model": "sha256:m", "text": lambda: "sha256:t"},
            )
        assert not list(path.rglob(".*"))
        _write(path, FakeSupply(padded=True), resume=True)
        assert _bytes(path) == whole


def test_what_cannot_be_stored_ends_the_capture_and_names_the_site(tmp_path: Path) -> None:
    class Overflowing(FakeSupply):
        def vectors(self, i: int, text: Any) -> Any:
            found = dict(super().vectors(i, text))
            if i == 3:
                found[TWO] = found[TWO] * 1e39
            return found

    supply = Overflowing()
    with pytest.raises(ConfigError, match=r"the vectors of mlp_out\.1 hold NaN or infinity"):
        _write(tmp_path / "a", supply)
    assert LocalFolder(tmp_path / "a").names() == ["capture.json", *(n for n in whole_names(0))]


def whole_names(number: int) -> Iterator[str]:
    yield shard_name(number, "")
    yield from sorted(shard_name(number, part) for part in (str(TWO), str(ONE), "statistics", "text"))


def test_an_empty_supply_is_said(tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpusError):
        _write(tmp_path / "a", FakeSupply(0))


@pytest.mark.parametrize("padded", [False, True])
def test_max_bytes_ends_at_a_whole_shard_and_is_kept_to(tmp_path: Path, padded: bool) -> None:
    all_of_it = _write(tmp_path / "all", FakeSupply(12, padded=padded))
    for most in (all_of_it.n_bytes * 2 // 3, all_of_it.n_bytes * 9 // 10):
        storage = StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=most)
        summary = _write(tmp_path / str(most), FakeSupply(12, padded=padded), storage)
        n_bytes = sum(len(data) for data in _files(tmp_path / str(most)).values())
        assert n_bytes <= most
        assert 1 <= summary.n_shards < all_of_it.n_shards
        # Not one shard less than fits, but for the 32 KiB that are kept free for what is not shards.
        assert most - n_bytes < 32_768 + all_of_it.n_bytes / all_of_it.n_shards * 1.5
        for number in range(summary.n_shards):
            name = shard_name(number, "text")
            assert (tmp_path / str(most) / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


def test_max_bytes_below_one_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the first shard alone"):
        _write(tmp_path / "a", storage=StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=20_000))


@pytest.mark.parametrize("most", [None, 800_000])
def test_shards_divided_over_processes_make_the_same_store(tmp_path: Path, most: int | None) -> None:
    storage = StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=most)
    _write(tmp_path / "one", FakeSupply(11, padded=True), storage)
    supplies = [FakeSupply(11, padded=True) for _ in range(3)]
    gate = threading.Barrier(3)
    failed: list[BaseException] = []

    class Waiting(Group):
        def wait(self) -> None:
            gate.wait(20)

    def run(rank: int) -> None:
        try:
            _write(tmp_path / "three", supplies[rank], storage, processes=Waiting(rank=rank, size=3))
        except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread
            failed.append(error)
            gate.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert _bytes(tmp_path / "three") == _bytes(tmp_path / "one")
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
    assert _files(tmp_path / "one") == _files(tmp_path / "three")


def test_a_store_at_an_address_is_the_same_and_resumes(whole: dict[str, bytes], request: pytest.FixtureRequest) -> None:
    folder = open_folder(f"memory://stores/{request.node.name}")
    options: dict[str, Any] = {"config": {"model": "fake"}, "inputs": {"model": "sha256:m", "text": lambda: "sha256:t"}}
    supply = FakeSupply(padded=True)
    supply.before_vectors = _killer(5)
    with pytest.raises(_Killed):
        write_store(folder, supply, SMALL, **options)
    again = FakeSupply(padded=True)
    write_store(folder, again, SMALL, **options, resume=True)
    assert again.asked == [4, 5, 6, 7]
    found = {name: folder.read(name) for name in folder.names()}
    assert {name: data for name, data in found.items() if name != "manifest.json"} == {
        name: data for name, data in whole.items() if name != "manifest.json"
    }


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
        summary = _write(tmp_path / "a", FakeSupply(padded=True))
        assert (display.totals, display.done) == ([None], summary.n_tokens)
        most = 500_000
        _write(tmp_path / "b", FakeSupply(), StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=most))
    assert display.totals[1] == most * S // (1 + S * (29 + 4 + 4 + 4 * (5 + 7)))


def test_a_record_says_what_the_shard_holds(tmp_path: Path) -> None:
    _write(tmp_path / "a", FakeSupply(padded=True))
    for number in range(4):
        record = ShardRecord.from_json(json.loads((tmp_path / "a" / shard_name(number, "")).read_text()), where="record")
        for name, facts in record.files.items():
            data = (tmp_path / "a" / name).read_bytes()
            assert facts == {"hash": f"sha256:{hashlib.sha256(data).hexdigest()}", "bytes": len(data)}
