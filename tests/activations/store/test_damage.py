"""A flipped byte, a cut file and a missing one each give their one clear error, and what else is in the store stays usable."""

import json
import uuid
from pathlib import Path

import pytest

from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.layout import INDEX, STATISTICS, shard_name
from monoseme.activations.store.reader import StoredActivations
from monoseme.activations.store.writer import write_store
from monoseme.core.artifact import check_artifact
from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.folder import Folder, LocalFolder, open_folder
from monoseme.models.site import Site
from monoseme.testing.store_input import RandomInput

SITE = Site.parse("resid_post.1")


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    folder = LocalFolder(tmp_path / "s") if request.param == "local" else open_folder(f"memory://{uuid.uuid4()}")
    supply = RandomInput({SITE: 7}, n_blocks=6, contexts_per_block=3, context_len=13)
    write_store(folder, supply, StorageConfig(dtype="float32", shard_bytes=4000), config={}, inputs={})
    return folder


def _flip(folder: Folder, name: str, at: int) -> None:
    data = bytearray(folder.read(name))
    data[at] ^= 1
    folder.write(name, bytes(data))


def test_a_flipped_byte_is_found_by_check_and_only_its_shard_is_concerned(store: Folder) -> None:
    name = shard_name(1, str(SITE))
    _flip(store, name, -1)
    assert check_artifact(str(store)) == [f"{name}: content differs from its checksum"]
    assert StoredActivations.open(str(store)).source().block(0).n_contexts  # shard 0 is as it was


def test_a_flipped_byte_in_a_header_is_found_by_reading_the_shard(store: Folder) -> None:
    _flip(store, shard_name(1, str(SITE)), 7)  # the length of the header
    source = StoredActivations.open(str(store)).source()
    assert source.block(0).vectors(SITE).rows.shape[1] == 7
    with pytest.raises(ArtifactDamagedError, match=r"shards/00001.resid_post.1.safetensors"):
        for i in range(source.n_blocks):
            source.block(i).vectors(SITE)


@pytest.mark.parametrize("name", [INDEX, STATISTICS])
def test_a_flipped_byte_in_what_every_reader_needs_is_found_on_opening(store: Folder, name: str) -> None:
    for at in (9, 400, -3):
        whole = store.read(name)
        _flip(store, name, at)
        with pytest.raises(ArtifactDamagedError, match=name):
            _ = StoredActivations.open(str(store)).statistics
        store.write(name, whole)


def test_a_cut_shard_is_told_on_opening(store: Folder) -> None:
    name = shard_name(2, str(SITE))
    store.write(name, store.read(name)[:-1])
    with pytest.raises(ArtifactDamagedError, match=rf"{name} has [\d,]+ bytes instead of [\d,]+.\n .*monoseme check"):
        StoredActivations.open(str(store))
    assert len(check_artifact(str(store))) == 1


def test_a_missing_shard_is_told_on_opening(store: Folder) -> None:
    store.remove(shard_name(0, "text"))
    with pytest.raises(ArtifactDamagedError, match=r"lacks its file shards/00000.text.safetensors.\n .*monoseme check"):
        StoredActivations.open(str(store))
    assert check_artifact(str(store)) == ["shards/00000.text.safetensors: missing"]


def test_an_index_that_promises_more_shards_than_the_manifest_is_refused(store: Folder) -> None:
    manifest = json.loads(store.read("manifest.json"))
    for name in [name for name in manifest["files"] if name.startswith("shards/00002")]:
        del manifest["files"][name]
    store.write("manifest.json", json.dumps(manifest))
    with pytest.raises(ArtifactDamagedError, match="lacks its file"):
        StoredActivations.open(str(store))
