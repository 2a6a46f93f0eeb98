"""Several processes that share a scan write what one does: the same bytes, but for means in their last digits."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from _two_scans import scan_together
from test_resume import CONFIG, KilledError, make_source, make_targets

from monoseme.atlas import PassOptions, check_atlas, scan
from monoseme.atlas.scanning import feed, scratch
from monoseme.atlas.sentences import rank_sentences
from monoseme.testing.processes import in_threads

_MOMENTS = ("mean", "std")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_ENTRIES_PER_CHUNK", 150)
    monkeypatch.setattr(scratch, "_MOST_OF_THE_PASS", 1e9)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process writes."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "_ENTRIES_PER_CHUNK", 150)
        scan(make_source(), make_targets(), folder, config=CONFIG, options=PassOptions((rank_sentences(),)))
    return folder


def _assert_same(folder: Path, alone: Path) -> None:
    assert check_atlas(folder) == []
    assert not list(folder.glob(".*"))
    ours = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"}
    theirs = {path.relative_to(alone) for path in alone.rglob("*") if path.is_file() and path.name != "manifest.json"}
    assert ours == theirs
    for name in sorted(ours):
        if name.name != "latents.parquet":
            assert (folder / name).read_bytes() == (alone / name).read_bytes(), name
            continue
        mine, other = pq.read_table(folder / name), pq.read_table(alone / name)
        assert mine.drop_columns(list(_MOMENTS)).equals(other.drop_columns(list(_MOMENTS)))
        for moment in _MOMENTS:
            np.testing.assert_allclose(mine[moment].to_numpy(), other[moment].to_numpy(), rtol=1e-12, atol=1e-12)


def test_threads_that_take_blocks_in_turn_write_what_one_does(tmp_path: Path, alone: Path) -> None:
    in_threads(lambda mesh: scan_together(tmp_path / "three", mesh.rows), rows=3)
    _assert_same(tmp_path / "three", alone)


def test_processes_that_were_killed_go_on_together(tmp_path: Path, alone: Path) -> None:
    for dies_at in (4, 8):  # both of the first process; the other one ends its share meanwhile
        with pytest.raises(KilledError):
            in_threads(lambda mesh, at=dies_at: scan_together(tmp_path / "both", mesh.rows, dies_at=at), rows=2)
    in_threads(lambda mesh: scan_together(tmp_path / "both", mesh.rows), rows=2)
    _assert_same(tmp_path / "both", alone)


@pytest.mark.slow  # a second of twelve threads
def test_a_process_without_a_block_adds_nothing(tmp_path: Path, alone: Path) -> None:
    in_threads(lambda mesh: scan_together(tmp_path / "many", mesh.rows), rows=12)  # for eleven blocks
    _assert_same(tmp_path / "many", alone)


@pytest.mark.slow  # two processes that import torch; threads stand for them by default
def test_two_processes_write_what_one_does(tmp_path: Path, alone: Path) -> None:
    script, meeting = Path(__file__).parent / "_two_scans.py", tmp_path / "meeting"
    both = [subprocess.Popen([sys.executable, script, str(rank), meeting, tmp_path / "both"]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    _assert_same(tmp_path / "both", alone)
