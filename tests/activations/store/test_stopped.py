"""Captures that were stopped: killed, interrupted, out of disk, damaged; resumed, they are the store of one that was not."""

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.activations.store.supplies import TWO, FakeSupply
from tests.activations.store.writing import SMALL, bytes_of, files_of, write_small

from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.layout import shard_name
from monoseme.activations.store.writer import write_store
from monoseme.core.errors import (
    ArtifactExistsError,
    ConfigError,
    DiskFullError,
    Interrupted,
    ResumeError,
)
from monoseme.core.folder import LocalFolder, open_folder


class _Killed(BaseException):
    """As a kill: nothing of ours catches it."""


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
    write_small(tmp_path / "whole", FakeSupply(4, padded=True))
    whole, n_steps = bytes_of(tmp_path / "whole"), 0
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
        write_small(path, FakeSupply(4, padded=True), resume=True)
        assert bytes_of(path) == whole, f"after step {n}"
    assert n_steps == 1 + 2 * 5 + 4  # capture.json; four files and a record of each shard; statistics, index, manifest, removal


@pytest.mark.skipif(os.name == "nt", reason="nothing is held on Windows")
def test_a_second_writer_is_refused_and_the_first_comes_to_its_end(tmp_path: Path, whole: dict[str, bytes]) -> None:
    refused: list[str] = []

    def also_resume(i: int) -> None:
        if i == 3:
            with pytest.raises(ArtifactExistsError) as error:
                write_small(tmp_path / "a", FakeSupply(padded=True), resume=True)
            refused.append(str(error.value))

    supply = FakeSupply(padded=True)
    supply.before_vectors = also_resume
    write_small(tmp_path / "a", supply)
    assert len(refused) == 1
    assert "another process is writing to" in refused[0]
    assert bytes_of(tmp_path / "a") == whole


def test_a_setting_that_fails_before_the_first_shard_leaves_nothing_so_that_its_advice_can_be_followed(tmp_path: Path) -> None:
    for resume in (False, True):
        with pytest.raises(ConfigError, match="Give more, or lower shard_bytes"):
            write_small(tmp_path / "a", storage=StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=1), resume=resume)
        assert not (tmp_path / "a").exists()
    supply = FakeSupply()
    given = supply.vectors
    supply.vectors = lambda i, text: {site: x * 1e6 for site, x in given(i, text).items()}  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="--dtype bfloat16"):
        write_small(tmp_path / "a", supply, StorageConfig(dtype="float16", shard_bytes=7000))
    assert not [p for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert write_small(tmp_path / "a", storage=StorageConfig(dtype="float32", shard_bytes=7000, max_bytes=500_000)).n_shards == 2


def test_a_resume_makes_only_what_is_not_there(tmp_path: Path, whole: dict[str, bytes]) -> None:
    supply = FakeSupply(padded=True)

    def stop(i: int) -> None:
        if i == 5:
            raise ConfigError("out of patience")

    supply.before_vectors = stop
    with pytest.raises(ConfigError, match="out of patience"):
        write_small(tmp_path / "a", supply)
    assert shard_name(1, "") in LocalFolder(tmp_path / "a").names()
    assert shard_name(2, "") not in LocalFolder(tmp_path / "a").names()
    again = FakeSupply(padded=True)
    write_small(tmp_path / "a", again, resume=True)
    assert again.asked == [4, 5, 6, 7]
    assert bytes_of(tmp_path / "a") == whole


def _stopped(path: Path, at: int = 5) -> None:
    """A capture that has finished two shards."""
    supply = FakeSupply(padded=True)
    supply.before_vectors = _killer(at)
    with pytest.raises(_Killed):
        write_small(path, supply)


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
        write_small(tmp_path / "a", again, resume=True)
    assert again.asked == [0, 1, 4, 5, 6, 7]
    assert bytes_of(tmp_path / "a") == whole


def test_a_resume_of_another_capture_names_what_differs(tmp_path: Path) -> None:
    _stopped(tmp_path / "a")
    with pytest.raises(ResumeError, match=r"config\.model is 'other', was 'fake'"):
        write_small(tmp_path / "a", FakeSupply(padded=True), resume=True, config={"model": "other"})
    with pytest.raises(ResumeError, match=r"storage\.dtype is 'int8', was 'float32'"):
        write_small(tmp_path / "a", FakeSupply(padded=True), StorageConfig(dtype="int8", shard_bytes=7000), resume=True)
    with pytest.raises(ResumeError, match=r"supply\.padded is False, was True"):
        write_small(tmp_path / "a", FakeSupply(), resume=True)


def test_a_resume_with_another_text_says_so(tmp_path: Path) -> None:
    _stopped(tmp_path / "a")
    other = FakeSupply(padded=True)
    other.text_seed = 1
    with pytest.raises(ResumeError, match="the text has changed since this capture began: shard 0"):
        write_small(tmp_path / "a", other, resume=True)
    shorter = FakeSupply(2, padded=True)
    shorter.text = FakeSupply(padded=True).text  # type: ignore[method-assign]
    with pytest.raises(ResumeError, match="the text has become shorter"):
        write_small(tmp_path / "a", shorter, resume=True)


def test_a_folder_in_use_is_not_written_to(tmp_path: Path) -> None:
    _stopped(tmp_path / "a")
    before = files_of(tmp_path / "a")
    with pytest.raises(ArtifactExistsError, match="a capture that is not finished"):
        write_small(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/mine.txt").write_text("precious")
    for resume in (False, True):
        with pytest.raises(ArtifactExistsError):
            write_small(tmp_path / "b", resume=resume)
    assert files_of(tmp_path / "a") == before
    assert files_of(tmp_path / "b") == {"mine.txt": b"precious"}


def test_a_finished_store_is_left_alone(tmp_path: Path) -> None:
    first = write_small(tmp_path / "a")
    before = files_of(tmp_path / "a")
    supply = FakeSupply()
    assert write_small(tmp_path / "a", supply, resume=True) == first
    assert supply.asked == []
    assert files_of(tmp_path / "a") == before
    with pytest.raises(ArtifactExistsError):
        write_small(tmp_path / "a")
    with pytest.raises(ResumeError, match="other settings"):
        write_small(tmp_path / "a", resume=True, config={"model": "other"})


def test_threads_are_those_of_the_beginning(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    _stopped(tmp_path / "a")
    file = tmp_path / "a/capture.json"
    told = json.loads(file.read_text())
    told["measured"]["threads"] = before + 1
    file.write_text(json.dumps(told))
    supply, seen = FakeSupply(padded=True), set[int]()
    supply.before_vectors = lambda i: seen.add(torch.get_num_threads())
    write_small(tmp_path / "a", supply, resume=True)
    assert seen == {before + 1}
    assert torch.get_num_threads() == before


def test_an_interrupt_keeps_what_was_finished(tmp_path: Path, whole: dict[str, bytes]) -> None:
    supply = FakeSupply(padded=True)
    supply.before_vectors = lambda i: signal.raise_signal(signal.SIGINT) if i == 4 else None
    with pytest.raises(Interrupted, match="the shards that were finished are kept") as stopped:
        write_small(tmp_path / "a", supply)
    assert stopped.value.exit_code == 130
    names = LocalFolder(tmp_path / "a").names()
    assert shard_name(1, "") in names
    assert not any("00002" in name for name in names)
    assert not list((tmp_path / "a/shards").glob(".*"))
    write_small(tmp_path / "a", FakeSupply(padded=True), resume=True)
    assert bytes_of(tmp_path / "a") == whole


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
        write_small(path, FakeSupply(padded=True), resume=True)
        assert bytes_of(path) == whole


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
