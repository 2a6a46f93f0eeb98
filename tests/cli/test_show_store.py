"""`monoseme show` of stored activations: finished or not, here or at an address."""

import json
import re
import uuid
from pathlib import Path

import pytest

from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.layout import UNFINISHED
from monoseme.activations.store.writer import write_store
from monoseme.cli.main import main
from monoseme.core.files import to_json
from monoseme.core.folder import Folder, LocalFolder, open_folder
from monoseme.models.site import Site
from monoseme.testing.store_input import RandomInput

SITES = {Site.parse("resid_post.1"): 7, Site.parse("mlp_out.2"): 11}
CONFIG = {"model": {"model": "tiny"}, "corpus": {"source": "notes.jsonl"}}


def _write(folder: Folder) -> None:
    supply = RandomInput(SITES, n_blocks=5, n_heldout=2, contexts_per_block=3, context_len=13)
    write_store(folder, supply, StorageConfig(dtype="int8", shard_bytes=4000), config=CONFIG, inputs={"model": "sha256:0"})


def _shown(where: Folder, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["show", str(where), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_store_says_all_that_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = LocalFolder(tmp_path / "store")
    _write(store)
    found = _shown(store, capsys)
    assert found["finished"] is True
    assert found["split"] == {
        "train": {"contexts": 9, "tokens": 117, "documents": 9},
        "heldout": {"contexts": 6, "tokens": 78, "documents": 6},
    }
    assert found["tokens"] == 195
    assert found["bytes"] == sum(size for name, size in store.sizes().items() if name != "manifest.json")
    sites = found["sites"]
    assert isinstance(sites, list)
    assert [(site["site"], site["width"], site["tokens_seen"]) for site in sites] == [
        ("resid_post.1", 7, 195),
        ("mlp_out.2", 11, 195),
    ]
    assert all(0 < site["storage_fvu"] < 1e-3 and site["mean_norm"] > 1 for site in sites)
    assert main(["show", str(store)]) == 0
    told = capsys.readouterr().out
    for text in ("tiny", "notes.jsonl", "int8", "117 tokens, 9 contexts, 9 documents", "resid_post.1      7"):
        assert text in told


def test_a_store_at_an_address_leaves_out_what_would_need_all_of_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    store = open_folder(f"memory://{uuid.uuid4()}")
    _write(store)
    split = _shown(store, capsys)["split"]
    assert isinstance(split, dict)
    assert split["train"]["contexts"] == 9
    assert split["train"]["documents"] is None
    assert "copy the store here" in split["train"]["why_missing"]
    assert main(["show", str(store)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"train +9 contexts\n", told)
    assert re.search(r"not counted +tokens and documents of each side, which", told)


def test_an_unfinished_store_says_how_far_it_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = LocalFolder(tmp_path / "store")
    _write(store)
    store.write(UNFINISHED, to_json({"config": CONFIG}))
    for name in ("manifest.json", "index.json", "shards/00001.json"):
        store.remove(name)
    found = _shown(store, capsys)
    assert (found["finished"], found["shards_missing_before_the_last"]) == (False, [1])
    assert main(["show", str(store)]) == 0
    told = capsys.readouterr().out
    assert f"NOT FINISHED: go on with  monoseme capture --out {store} --resume\n" in told
    assert "missing before the last of them: 1" in told
    assert "tiny" in told


def test_one_is_told_as_one_and_sites_as_a_forward_comes_by_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = LocalFolder(tmp_path / "store")
    supply = RandomInput(dict(reversed(SITES.items())), n_blocks=2, n_heldout=1, contexts_per_block=1, context_len=13)
    summary = write_store(store, supply, StorageConfig(), config=CONFIG, inputs={})
    sites = _shown(store, capsys)["sites"]
    assert isinstance(sites, list)
    assert [site["site"] for site in sites] == list(summary.storage_errors) == ["resid_post.1", "mlp_out.2"]
    assert main(["show", str(store)]) == 0
    told = capsys.readouterr().out
    assert "13 tokens, 1 context, 1 document\n" in told
    assert "1 shard\n" in told


def test_an_unfinished_import_is_gone_on_with_as_one_and_training_from_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalFolder(tmp_path / "a store")
    store.write(UNFINISHED, to_json({"config": {"format": "saelens"}}))
    go_on = f"monoseme import --out '{store}' --resume"
    assert main(["show", str(store)]) == 0
    assert go_on in capsys.readouterr().out
    assert main(["train", "--activations", str(store), "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert "is not finished" in told
    assert go_on in told
