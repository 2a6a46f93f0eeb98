"""A disk that fills up ends a capture with one clear error; what was finished stays, and a resume makes the same store."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.unfinished import check_unfinished, read_unfinished
from monoseme.activations.store.writer import StoreSummary, write_store
from monoseme.core.artifact import check_artifact
from monoseme.core.errors import DiskFullError
from monoseme.core.folder import LocalFolder
from monoseme.models.site import Site
from monoseme.testing.store_input import RandomInput

SITES = {Site.parse("resid_post.1"): 7, Site.parse("mlp_out.2"): 11}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A file system of 500 kB, and what makes it larger."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(place)], capture_output=True)
    if not done or done.returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    yield place, lambda size: subprocess.run([str(mount), "-o", f"remount,size={size}", str(place)], check=True) and None
    subprocess.run(["umount", "-l", str(place)], check=True)


def _write(path: Path, *, resume: bool = False) -> StoreSummary:
    supply = RandomInput(SITES, n_blocks=23, contexts_per_block=3, context_len=13)
    return write_store(LocalFolder(path), supply, StorageConfig(shard_bytes=12000), config={}, inputs={}, resume=resume)


def _contents(path: Path) -> dict[str, object]:
    found: dict[str, object] = {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    manifest = json.loads((path / "manifest.json").read_text())
    return found | {"manifest.json": {key: value for key, value in manifest.items() if key != "environment"}}


def test_a_full_disk_ends_a_capture_and_loses_nothing(small_disk: tuple[Path, Callable[[str], None]], tmp_path: Path) -> None:
    disk, resize = small_disk
    store = disk / "store"
    with pytest.raises(DiskFullError, match=r"the disk is full: could not write"):
        _write(store)
    finished = read_unfinished(LocalFolder(store)).records
    assert 0 < len(finished) < 8
    assert check_unfinished(LocalFolder(store)) == []
    assert not list(store.rglob(".*")), "half a file was left behind"
    with pytest.raises(DiskFullError):
        _write(store, resume=True)
    assert check_unfinished(LocalFolder(store)) == []
    resize("9m")
    _write(store, resume=True)
    _write(tmp_path / "whole")
    assert check_artifact(store) == []
    assert _contents(store) == _contents(tmp_path / "whole")
