"""Artifacts are whole or absent, and say what is wrong with them."""

import json
import os
from pathlib import Path

import pytest

from monoseme.core import files
from monoseme.core.artifact import MANIFEST, check_artifact, new_artifact, open_artifact
from monoseme.core.drafts import new_folder
from monoseme.core.errors import (
    ArtifactDamagedError,
    ArtifactExistsError,
    ArtifactKindError,
    ArtifactMissingError,
    ArtifactVersionError,
    DiskFullError,
)


def _write(path: Path, text: str = "seven", **options: bool) -> None:
    with new_artifact(
        path, kind="report", config={"k": 7}, inputs={"sae": "sha256:0"}, seeds={"bootstrap": 3}, **options
    ) as draft:
        (draft.folder / "inner").mkdir()
        (draft.folder / "inner" / "data.txt").write_text(text)
        draft.add_fact("tokens_per_second", 11.0)


def test_what_was_written_can_be_opened(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    artifact = open_artifact(tmp_path / "a", kind="report")
    assert artifact.config == {"k": 7}
    assert artifact.inputs == {"sae": "sha256:0"}
    assert artifact.file("inner/data.txt").read_text() == "seven"
    assert artifact.environment["tokens_per_second"] == 11.0
    assert check_artifact(tmp_path / "a") == []


def test_what_a_killed_process_of_the_same_number_left_is_not_in_the_way(tmp_path: Path) -> None:
    for name in ("a", "b"):
        left = tmp_path / f".{name}.{os.getpid()}.draft"
        left.mkdir()
        (left / "half.txt").write_text("ha")
    _write(tmp_path / "a")
    assert check_artifact(tmp_path / "a") == []
    with new_folder(tmp_path / "b") as draft:
        (draft / "whole.txt").write_text("whole")
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == ["data.txt", "whole.txt"]


def test_content_hash_ignores_the_environment_and_sees_the_files(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    _write(tmp_path / "b")
    _write(tmp_path / "c", "eight")
    first, second, third = (open_artifact(tmp_path / name).content_hash for name in "abc")
    assert first == second != third


def test_nothing_remains_when_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_artifact(tmp_path / "a", kind="report", config={}) as draft:
        (draft.folder / "half.txt").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("mine")
    with pytest.raises(ArtifactExistsError, match="--out"):
        _write(tmp_path / "a")
    with pytest.raises(ArtifactExistsError):
        _write(tmp_path / "a", overwrite=True)  # not an artifact of ours
    assert (tmp_path / "a" / "mine.txt").read_text() == "mine"


def test_overwrite_keeps_the_old_artifact_until_the_new_one_is_complete(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    with pytest.raises(ZeroDivisionError), new_artifact(tmp_path / "a", kind="report", config={}, overwrite=True):
        raise ZeroDivisionError
    assert open_artifact(tmp_path / "a").file("inner/data.txt").read_text() == "seven"
    _write(tmp_path / "a", "eight", overwrite=True)
    assert open_artifact(tmp_path / "a").file("inner/data.txt").read_text() == "eight"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_absent_wrong_newer_and_damaged_artifacts_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError):
        open_artifact(tmp_path / "none")
    _write(tmp_path / "a")
    with pytest.raises(ArtifactKindError, match="'sae' is needed"):
        open_artifact(tmp_path / "a", kind="sae")
    manifest = json.loads((tmp_path / "a" / MANIFEST).read_text())
    (tmp_path / "a" / MANIFEST).write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(ArtifactVersionError, match="pip install --upgrade"):
        open_artifact(tmp_path / "a")
    (tmp_path / "a" / MANIFEST).write_text("{}")
    with pytest.raises(ArtifactDamagedError):
        open_artifact(tmp_path / "a")
    (tmp_path / "a" / MANIFEST).write_text('{"kind": ')
    with pytest.raises(ArtifactDamagedError, match="JSON"):
        open_artifact(tmp_path / "a")


def test_a_cut_file_is_found_on_opening_and_an_altered_one_by_check(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    file = tmp_path / "a" / "inner" / "data.txt"
    file.write_text("sever")  # as long as before
    assert check_artifact(tmp_path / "a") == ["inner/data.txt: content differs from its checksum"]
    file.write_text("sev")
    with pytest.raises(ArtifactDamagedError, match="3 bytes instead of 5"):
        open_artifact(tmp_path / "a")
    file.unlink()
    assert check_artifact(tmp_path / "a") == ["inner/data.txt: missing"]
    with pytest.raises(ArtifactDamagedError, match="monoseme check"):
        open_artifact(tmp_path / "a")


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "f.json"
    files.write_json(target, {"a": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(DiskFullError, match="the disk is full"):
        files.write_json(target, {"a": 2})
    monkeypatch.undo()
    assert files.read_json(target) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "f.json", {"a": float("nan")})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "f.json", {"a": float("inf")})
    assert list(tmp_path.iterdir()) == []
