"""Checkpoints as files: whole or absent, opened as SAEs, refused when not ours."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from monoseme.core.errors import ArtifactDamagedError, ArtifactMissingError, ArtifactVersionError
from monoseme.training import open_checkpoint
from monoseme.training.checkpoint import list_checkpoints, prune


@pytest.fixture
def folder(tiny: ModuleType, tmp_path: Path) -> Path:
    tiny.tiny_run(tmp_path, keep=3)
    return tmp_path


def test_a_checkpoint_opens_as_saes_that_encode(tiny: ModuleType, folder: Path) -> None:
    saes = open_checkpoint(folder, 12)
    x = tiny.TinyFeed().batch(0).x
    assert list(saes) == ["one", "two"]
    assert saes["one"].encode(x).dense().shape == (tiny.B, tiny.F)


def test_a_step_may_be_given_as_text(folder: Path) -> None:
    assert torch.equal(open_checkpoint(folder, "12")["one"].W_dec, open_checkpoint(folder, 12)["one"].W_dec)


@pytest.mark.parametrize(("at", "message"), [(5, "There are: 10, 12, 13, last, best"), ("lst", "Allowed: last, best")])
def test_a_checkpoint_that_is_not_there_is_answered_with_those_that_are(folder: Path, at: int | str, message: str) -> None:
    with pytest.raises(ArtifactMissingError, match=message):
        open_checkpoint(folder, at)


def test_a_folder_without_checkpoints_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match="no checkpoint"):
        open_checkpoint(tmp_path)


def test_a_folder_without_its_state_is_no_checkpoint(folder: Path) -> None:
    (folder / "checkpoints" / "step_00000013" / "state.json").unlink()
    assert [found.step for found in list_checkpoints(folder / "checkpoints")] == [10, 12]


def test_a_newer_version_is_refused(folder: Path) -> None:
    path = folder / "checkpoints" / "step_00000013" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    with pytest.raises(ArtifactVersionError, match="newer version"):
        open_checkpoint(folder)


def test_an_altered_file_is_refused(folder: Path) -> None:
    path = folder / "checkpoints" / "step_00000013" / "one.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ArtifactDamagedError, match="altered"):
        open_checkpoint(folder)


def test_pruning_keeps_the_last_the_best_and_nothing_half_written(folder: Path) -> None:
    checkpoints = folder / "checkpoints"
    (checkpoints / ".step_00000099.1.draft").mkdir()
    best = {job["best"][0] for job in list_checkpoints(checkpoints)[-1].state["jobs"].values()}
    prune(checkpoints, keep=1)
    assert {found.step for found in list_checkpoints(checkpoints)} == {13} | best
    assert not list(checkpoints.glob(".*"))


def test_nothing_in_a_checkpoint_is_pickled(folder: Path) -> None:
    endings = {path.suffix for path in (folder / "checkpoints").rglob("*") if path.is_file()}
    assert endings == {".json", ".safetensors"}
