"""Artifacts in folders, local or at an address: the manifest comes last, and every file is held against it."""

import json
import threading
import uuid
from pathlib import Path

import pytest

from monoseme.core import checking
from monoseme.core.artifact import check_artifact, open_artifact
from monoseme.core.checking import find_damage, hash_in
from monoseme.core.errors import AddressError, ArtifactDamagedError, ArtifactKindError, ArtifactMissingError
from monoseme.core.files import hash_bytes
from monoseme.core.folder import Folder, LocalFolder, open_folder
from monoseme.core.manifest import content_hash, make_manifest, read_manifest, require_files, write_manifest

CONTENTS = {"index.json": b"{}", "shards/0": b"seven", "shards/1": b"eleven"}


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """An artifact whose checksums were known without reading it again."""
    found = LocalFolder(tmp_path / "a") if request.param == "local" else open_folder(f"memory://{uuid.uuid4()}")
    for name, data in CONTENTS.items():
        found.write(name, data)
    files = {name: {"hash": hash_bytes(data), "bytes": len(data)} for name, data in CONTENTS.items()}
    write_manifest(found, make_manifest(kind="activations", config={"k": 7}, files=files, environment={"seconds": 3}))
    return found


def test_an_artifact_is_the_same_wherever_it_lies(folder: Folder, tmp_path: Path) -> None:
    manifest = read_manifest(folder, kind="activations")
    require_files(folder, manifest)
    assert manifest["config"] == {"k": 7}
    assert check_artifact(str(folder)) == []
    copy = LocalFolder(tmp_path / "copy")
    for name in folder.names():
        copy.write(name, folder.read(name))
    assert open_artifact(copy.path).content_hash == content_hash(manifest)
    assert content_hash(manifest | {"environment": {"seconds": 5}}) == content_hash(manifest)


def test_a_flipped_byte_a_cut_and_a_missing_file_each_have_their_line(folder: Folder) -> None:
    folder.write("index.json", b"[]")
    folder.write("shards/0", b"seve")
    folder.remove("shards/1")
    expected = ["index.json: content differs from its checksum", "shards/0: 4 bytes instead of 5", "shards/1: missing"]
    assert check_artifact(str(folder)) == expected
    with pytest.raises(ArtifactDamagedError, match=r"shards/0 has 4 bytes instead of 5.\n .*monoseme check"):
        require_files(folder, read_manifest(folder))


def test_what_is_no_artifact_says_why(folder: Folder) -> None:
    with pytest.raises(ArtifactKindError, match="'sae' is needed"):
        read_manifest(folder, kind="sae")
    folder.remove("manifest.json")
    with pytest.raises(ArtifactMissingError, match="no finished artifact"):
        read_manifest(folder)
    with pytest.raises(ArtifactMissingError, match="there is no folder"):
        read_manifest(open_folder(f"{folder}/none"))


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {"index.json": 5}},
        {"files": {"index.json": {}}},
        {"files": {"index.json": {"hash": "sha256:0", "bytes": "x"}}},
        {"files": {"index.json": {"hash": 5, "bytes": 2}}},
        {"files": {"index.json": {"hash": "sha256:0", "bytes": -1}}},
        {"inputs": {"model": 5}},
        {"environment": 5},
    ],
)
def test_a_manifest_of_other_types_is_damaged(folder: Folder, changes: dict[str, object]) -> None:
    folder.write("manifest.json", json.dumps(json.loads(folder.read("manifest.json")) | changes))
    with pytest.raises(ArtifactDamagedError, match=r"manifest.json .*(index.json|inputs|environment)"):
        read_manifest(folder)


def test_a_long_file_is_hashed_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_CHUNK_BYTES", 3)
    folder = LocalFolder(tmp_path)
    for data in (b"", b"123", b"1234567"):
        folder.write("a", data)
        assert hash_in(folder, "a") == hash_bytes(data)


def test_several_files_are_hashed_at_once(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=10)

    class Slow(LocalFolder):
        def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
            both.wait()
            return super().read(name, start, stop)

    folder = Slow(tmp_path)
    for name in "ab":
        folder.write(name, b"1")
    assert find_damage(folder, {name: {"hash": hash_bytes(b"1")} for name in "ab"}) == []


def test_an_address_that_is_not_reached_says_nothing_of_the_files(tmp_path: Path) -> None:
    class Away(LocalFolder):
        def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
            raise AddressError("no network")

    folder = Away(tmp_path)
    folder.write("a", b"1")
    with pytest.raises(AddressError):
        find_damage(folder, {"a": {"hash": hash_bytes(b"1")}})
