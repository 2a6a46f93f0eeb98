"""A store opens as what it is, or with one error that says what is wrong with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.activations.store.supplies import ONE, TWO, FakeSupply
from tests.activations.store.test_stored_source import store_of

from monoseme.activations.store.describe import describe_store
from monoseme.activations.store.reader import StoredActivations
from monoseme.core.artifact import new_artifact
from monoseme.core.errors import ArtifactDamagedError, ArtifactKindError, ArtifactMissingError, ArtifactVersionError
from monoseme.core.files import hash_file
from monoseme.core.folder import LocalFolder
from monoseme.tensors.tensor_file import write_tensors


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of which each test breaks a copy."""
    path = tmp_path_factory.mktemp("written") / "store"
    store_of(path, FakeSupply(7))
    return path


@pytest.fixture
def store(tmp_path: Path, written: Path) -> StoredActivations:
    return StoredActivations.open(shutil.copytree(written, tmp_path / "store"))


def _path(store: StoredActivations) -> Path:
    return Path(str(store.folder))


def _changed(store: StoredActivations, name: str, **changes: object) -> None:
    file = _path(store) / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _vouched_for(store: StoredActivations, name: str) -> None:
    """Puts size and checksum of an altered file into the manifest, so that only what it says is wrong."""
    files, file = store.manifest["files"], _path(store) / name
    files[name] = {"bytes": file.stat().st_size, "hash": hash_file(file)}
    _changed(store, "manifest.json", files=files)


def test_what_a_store_says_of_itself(store: StoredActivations) -> None:
    assert repr(store) == f"StoredActivations.open({str(_path(store))!r})"
    assert eval(repr(store)).content_hash == store.content_hash
    assert store.sites == (ONE, TWO)
    assert store.config == {"of": "a test"}
    assert (store.n_contexts, store.n_heldout, store.n_rows) == (20, 6, 220)
    assert store.statistics.n_real == 220
    assert store.is_local
    assert store.source("all").n_blocks >= len(store.index.shards)


def test_what_is_no_finished_store_is_refused(tmp_path: Path, store: StoredActivations) -> None:
    with pytest.raises(ArtifactMissingError, match="no folder"):
        StoredActivations.open(tmp_path / "nothing")
    (_path(store) / "manifest.json").unlink()
    with pytest.raises(ArtifactMissingError, match=r"no manifest\.json"):
        StoredActivations.open(_path(store))


def test_another_artifact_and_a_newer_store_are_refused(tmp_path: Path, store: StoredActivations) -> None:
    with new_artifact(tmp_path / "report", kind="report", config={}):
        pass
    with pytest.raises(ArtifactKindError, match="'report'; 'activations' is needed"):
        StoredActivations.open(tmp_path / "report")
    _changed(store, "manifest.json", schema=99)
    with pytest.raises(ArtifactVersionError, match="layout 99"):
        StoredActivations.open(_path(store))


@pytest.mark.parametrize("name", ["shards/00001.resid_post.0.safetensors", "index.json", "statistics.safetensors"])
def test_a_missing_and_a_cut_file_are_told_when_it_is_opened(store: StoredActivations, name: str) -> None:
    file = _path(store) / name
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(ArtifactDamagedError, match=f"{name} has {len(whole) - 1:,} bytes instead of {len(whole):,}"):
        StoredActivations.open(_path(store))
    file.unlink()
    with pytest.raises(ArtifactDamagedError, match=f"lacks its file {name}"):
        StoredActivations.open(_path(store))


def test_a_foreign_index_is_refused(store: StoredActivations) -> None:
    _changed(store, "index.json", flavour="strawberry")
    _vouched_for(store, "index.json")
    with pytest.raises(ArtifactDamagedError, match="flavour"):
        StoredActivations.open(_path(store))


def test_an_index_of_more_shards_than_there_are_is_refused(store: StoredActivations) -> None:
    _changed(store, "index.json", shards=[*store.index.shards, store.index.shards[0]])
    _vouched_for(store, "index.json")
    with pytest.raises(ArtifactDamagedError, match="lacks its file shards/0000"):
        StoredActivations.open(_path(store))
    _changed(store, "index.json", shards=[{"n_rows": 3}])
    _vouched_for(store, "index.json")
    with pytest.raises(ArtifactDamagedError, match="how large shard 0 is"):
        StoredActivations.open(_path(store))


def test_a_shard_that_is_not_what_the_index_says_is_refused_when_it_is_read(store: StoredActivations) -> None:
    name = f"shards/00000.{ONE}.safetensors"
    write_tensors(LocalFolder(_path(store)), name, {"x": torch.zeros(3, 5), "norm": torch.zeros(3)})
    _vouched_for(store, name)
    opened = StoredActivations.open(_path(store))
    with pytest.raises(ArtifactDamagedError, match=r"00000\.resid_post\.0\.safetensors has x of shape \[3, 5\]"):
        opened.source("all").block(0)
    assert opened.source("all", [TWO]).block(0).activations[TWO].shape[2] == 7


def test_a_text_that_is_not_what_the_index_says_is_refused_when_it_is_read(store: StoredActivations) -> None:
    facts = [dict(shard) for shard in store.index.shards]
    facts[0]["n_rows"] -= 1
    _changed(store, "index.json", shards=facts)
    _vouched_for(store, "index.json")
    with pytest.raises(ArtifactDamagedError, match=r"00000\.text\.safetensors does not hold"):
        StoredActivations.open(_path(store)).source("all").block(0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sites": None}, "sites"),
        ({"sites": []}, "sites"),
        ({"sites": ["../../x", str(TWO)], "widths": {"../../x": 5, str(TWO): 7}}, "names a site"),
        ({"widths": {str(ONE): -5, str(TWO): 7}}, "-5"),
        ({"widths": {str(ONE): "5", str(TWO): 7}}, "whole number"),
        ({"dtype": ["int8"]}, "dtype"),
        ({"context_len": 0}, "context_len 0"),
        ({"context_len": "8"}, "context_len"),
        ({"sink_thresholds": None}, "sink_thresholds"),
        ({"sink_thresholds": {str(ONE): "a"}}, "sink_thresholds"),
        ({"shards": None}, "shards"),
        ({"shards": [1]}, "shards"),
        ({"shards": [{"n_contexts": "a", "n_heldout": 0, "n_rows": 1}]}, "n_contexts"),
        ({"shards": [{"n_contexts": 1, "n_heldout": 2, "n_rows": 1}]}, "2 are held out"),
    ],
)
def test_an_index_of_other_types_or_numbers_is_refused(store: StoredActivations, changes: dict[str, object], told: str) -> None:
    _changed(store, "index.json", **changes)
    _vouched_for(store, "index.json")
    with pytest.raises(ArtifactDamagedError, match=told) as error:
        StoredActivations.open(_path(store))
    assert "index.json" in str(error.value)


def _rewritten(store: StoredActivations, name: str, **changes: Callable[[torch.Tensor], torch.Tensor] | None) -> None:
    """The file with some of its tensors changed or, for None, left out."""
    tensors = load_file(_path(store) / name)
    for key, change in changes.items():
        tensor = tensors.pop(key)
        if change is not None:
            tensors[key] = change(tensor).contiguous()
    write_tensors(LocalFolder(_path(store)), name, tensors)
    _vouched_for(store, name)


@pytest.mark.parametrize(
    ("part", "name", "change"),
    [
        ("text", "documents", None),
        ("text", "documents", torch.Tensor.float),
        ("text", "documents", torch.Tensor.flatten),
        ("text", "tokens", lambda x: x[:1]),
        ("text", "mask", lambda x: x[:, :3]),
        (str(ONE), "norm", torch.Tensor.long),
        (str(ONE), "norm", None),
    ],
)
def test_a_tensor_of_another_type_or_shape_is_refused_by_readers_and_show(
    store: StoredActivations, part: str, name: str, change: Callable[[torch.Tensor], torch.Tensor] | None
) -> None:
    file = f"shards/00000.{part}.safetensors"
    _rewritten(store, file, **{name: change})
    with pytest.raises(ArtifactDamagedError, match=rf"{file} has .*{name}"):
        StoredActivations.open(_path(store)).source("all").block(0)
    if part == "text":
        with pytest.raises(ArtifactDamagedError, match=rf"{file} has .*{name}"):
            describe_store(store.folder)


def test_statistics_that_are_not_whole_are_refused(store: StoredActivations) -> None:
    name = "statistics.safetensors"
    whole = (_path(store) / name).read_bytes()
    for key in load_file(_path(store) / name):
        if key.endswith("/geometric_median"):
            continue
        for change in (None, lambda x: x[:0], torch.Tensor.half):
            (_path(store) / name).write_bytes(whole)
            _rewritten(store, name, **{key: change})
            with pytest.raises(ArtifactDamagedError, match=name):
                _ = StoredActivations.open(_path(store)).statistics
                describe_store(store.folder)
