"""What studies keep for a resume, cut short and on a full disk."""

import errno
from pathlib import Path

import pytest
import torch

from monoseme.core.errors import ArtifactDamagedError, DiskFullError, ResumeError
from monoseme.core.files import read_json
from monoseme.studies._kept_files import read_replicates, reading, require_same_saes, write_replicates

_HELD = {"fvu": torch.arange(7, dtype=torch.float64), "l0": torch.ones(3)}


def test_replicates_come_back_as_they_were(tmp_path: Path) -> None:
    write_replicates(tmp_path / "new" / "a", _HELD)
    assert {name: values.tolist() for name, values in read_replicates(tmp_path / "new" / "a").items()} == {
        name: values.tolist() for name, values in _HELD.items()
    }


@pytest.mark.parametrize("kept", [0, 5, 60, None])
def test_a_file_cut_short_or_gone_says_what_to_delete(tmp_path: Path, kept: int | None) -> None:
    path = tmp_path / "a"
    write_replicates(path, _HELD)
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ArtifactDamagedError, match="Delete it, then go on with --resume"):
        read_replicates(path)


@pytest.mark.parametrize("content", ["[3]", '{"b": 1}', "{", "[" * 100_000])
def test_json_of_another_shape_says_what_to_delete(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ArtifactDamagedError, match="Delete it, then go on with --resume"), reading(tmp_path / "a.json"):
        _ = read_json(tmp_path / "a.json")["a"]


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_replicates(tmp_path / "a", _HELD)
    monkeypatch.setattr(Path, "replace", _full)
    with pytest.raises(DiskFullError):
        write_replicates(tmp_path / "a", {"fvu": torch.zeros(2)})
    assert sorted(read_replicates(tmp_path / "a")) == ["fvu", "l0"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_was_measured_of_other_saes_is_not_gone_on_with(tmp_path: Path) -> None:
    require_same_saes(tmp_path, {"a": "sha256:1", "b": None})
    require_same_saes(tmp_path, {"b": None, "a": "sha256:1"})
    others: list[dict[str, str | None]] = [
        {"a": "sha256:2", "b": None},
        {"a": "sha256:1"},
        {"a": "sha256:1", "b": None, "c": None},
    ]
    for hashes, name in zip(others, "abc", strict=True):
        with pytest.raises(ResumeError, match=f"than there are now: {name}."):
            require_same_saes(tmp_path, hashes)
