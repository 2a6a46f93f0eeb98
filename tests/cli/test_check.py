"""`monoseme check`: artifacts, stores that are not finished, and checkpoints, here and at an address."""

import json
import uuid

import pytest

from monoseme.activations.store.layout import UNFINISHED, ShardRecord, shard_name
from monoseme.activations.store.unfinished import read_unfinished
from monoseme.cli.main import main
from monoseme.core.errors import ArtifactMissingError
from monoseme.core.files import hash_bytes, to_json
from monoseme.core.folder import Folder, open_folder
from monoseme.core.manifest import make_manifest, write_manifest


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return open_folder(tmp_path_factory.mktemp("root") if request.param == "local" else f"memory://{uuid.uuid4()}")


def _store(root: Folder, path: str, *, shards: tuple[int, ...] = (0, 1)) -> None:
    """An unfinished store with these shards."""
    folder = open_folder(f"{root}/{path}")
    folder.write(UNFINISHED, to_json({"config": {"site": "resid_post.1"}}))
    for number in shards:
        data = f"shard {number}".encode()
        folder.write(shard_name(number, "text"), data)
        files = {shard_name(number, "text"): {"hash": hash_bytes(data), "bytes": len(data)}}
        record = ShardRecord(number=number, n_contexts=5, n_heldout=1, n_rows=35, files=files)
        folder.write(shard_name(number, ""), to_json(record.to_json()))
    folder.write(shard_name(7, "text"), b"its writer was killed")


def _run(root: Folder) -> None:
    _store(root, "store")
    weights = b"weights"
    step = "training/checkpoints/step_00000003"
    root.write(f"{step}/topk.safetensors", weights)
    root.write(f"{step}/state.json", json.dumps({"files": {"topk.safetensors": hash_bytes(weights)}}))
    sae = open_folder(f"{root}/saes/topk")
    sae.write("sae.safetensors", weights)
    files = {"sae.safetensors": {"hash": hash_bytes(weights), "bytes": len(weights)}}
    write_manifest(sae, make_manifest(kind="sae", config={}, files=files))


def test_all_kinds_below_a_place_are_verified(root: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    _run(root)
    assert main(["check", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["artifacts"]
    assert found == {f"{root}/{name}": [] for name in ("saes/topk", "store", "training/checkpoints/step_00000003")}


def test_each_damage_has_its_line_and_hides_no_other(root: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    _run(root)
    root.write("training/checkpoints/step_00000003/topk.safetensors", b"weightz")
    root.write("store/" + shard_name(0, "text"), b"shard")
    root.remove("store/" + shard_name(1, "text"))
    root.write("saes/topk/sae.safetensors", b"Weights")
    assert main(["check", str(root)]) == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[1:] == [
        f"  {root}/saes/topk/sae.safetensors: content differs from its checksum",
        f"  {root}/store/shards/00000.text.safetensors: 5 bytes instead of 7",
        f"  {root}/store/shards/00001.text.safetensors: missing",
        f"  {root}/training/checkpoints/step_00000003/topk.safetensors: content differs from its checksum",
    ]
    assert f"{root}/store: unfinished; what is finished is DAMAGED" in told.out


def test_records_that_cannot_be_read_are_named(root: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    _run(root)
    root.write("store/" + shard_name(0, ""), "{")
    root.write("training/checkpoints/step_00000003/state.json", "[]")
    root.write("saes/topk/manifest.json", "{}")
    assert main(["check", str(root)]) == 2
    told = capsys.readouterr().err
    for line in ("store/shards/00000.json: ", "training/checkpoints/step_00000003/state.json: ", "saes/topk/manifest.json: "):
        assert f"{root}/{line}" in told


def test_a_checkpoint_alone_can_be_named(root: Folder) -> None:
    _run(root)
    assert main(["check", f"{root}/training/checkpoints/step_00000003"]) == 0


def test_drafts_of_killed_writers_are_passed_over(root: Folder) -> None:
    _run(root)
    root.write("saes/.relu.77.draft/manifest.json", "{")
    assert main(["check", str(root)]) == 0


def test_an_unfinished_store_says_how_far_it_came(root: Folder) -> None:
    _store(root, "store", shards=(0, 1, 3))
    found = read_unfinished(open_folder(f"{root}/store"))
    assert [record.number for record in found.records] == [0, 1, 3]
    assert (found.n_contexts, found.n_rows, found.n_bytes, found.gaps) == (15, 105, 21, (2,))
    with pytest.raises(ArtifactMissingError):
        read_unfinished(root)
