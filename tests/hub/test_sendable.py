"""What of a run's record, its curves and its artifacts leaves this machine, and what stays."""

import errno
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monoseme.core.artifact import check_artifact, new_artifact, open_artifact
from monoseme.core.files import read_json
from monoseme.hub import PushConfig, pull, push
from monoseme.hub._scrub import Scrubber
from monoseme.hub._sendable import Sendable
from monoseme.pipeline import RUN_FILE, RunFolder
from monoseme.saes import save_sae
from monoseme.saes.topk import TopK
from tests.hub.conftest import CORPUS, MODEL, SECRET, make_run


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoseme.hub._push._PICTURES", ())


def test_stores_trackers_the_judge_and_what_came_before_stay_here(made: RunFolder, tmp_path: Path) -> None:
    push(made.path, str(tmp_path / "hub/me/tiny"))
    sent = read_json(pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back").out / RUN_FILE)["config"]
    assert (sent["start_from"], sent["stream"]["activations"], sent["train"]["trackers"]) == ([], [], [])
    assert "explain" not in sent["atlas"]
    assert sent["train"]["batch_size"] == 64


def test_a_path_in_the_curves_keeps_its_last_part(own: RunFolder, tmp_path: Path) -> None:
    row = {"event": "data", "sae": "topk", "step": 3, "file": f"{SECRET}/more.jsonl"}
    with (own.training / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    push(own.path, str(tmp_path / "hub/me/tiny"))
    sent = pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back").out / "training" / "metrics.jsonl"
    assert json.loads(sent.read_text().splitlines()[-1]) == {**row, "file": "more.jsonl"}


def test_only_a_manifest_that_changed_keeps_its_old_hash(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", model="EleutherAI/pythia-70m", corpus="openwebtext")
    push(run.path, str(tmp_path / "hub/me/tiny"))
    pulled = pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back")
    assert "hash_before_push" not in open_artifact(pulled.saes["topk"]).environment


def test_half_written_parts_of_an_atlas_are_not_sent(own: RunFolder, tmp_path: Path) -> None:
    (own.atlas / "annotations/topk/.offline.77.draft").mkdir(parents=True)
    (own.atlas / "annotations/topk/.offline.77.draft/manifest.json").write_text("{")
    pushed = push(own.path, str(tmp_path / "hub/me/tiny"), PushConfig(atlas=True))
    assert pushed.atlas is not None
    assert not [file.name for file in (*pushed.files, *pushed.atlas.files) if ".draft" in file.name]


def test_files_are_copied_where_temporary_ones_lie_on_another_disk(
    made: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    push(made.path, str(tmp_path / "hub/me/tiny"))
    assert check_artifact(pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back").saes["topk"]) == []


@pytest.mark.parametrize(("holds", "names"), [("text", ["texts.jsonl:0", None]), ("other", [f"{SECRET}/texts.jsonl:0", None])])
def test_sources_of_a_text_are_renamed_and_one_without_a_name_stays(tmp_path: Path, holds: str, names: list[str | None]) -> None:
    with new_artifact(tmp_path / "text", kind="atlas", config={"holds": holds}) as draft:
        table = pa.table({"source": [0, 1], "name": pa.array([f"{SECRET}/texts.jsonl:0", None], pa.string())})
        pq.write_table(table, draft.folder / "sources.parquet")
    Sendable([tmp_path / "text"], Scrubber((), None, None)).write(tmp_path / "text", tmp_path / "sent")
    assert pq.read_table(tmp_path / "sent" / "sources.parquet").column("name").to_pylist() == names
    assert check_artifact(tmp_path / "sent") == []


@pytest.mark.parametrize(("tool", "file"), [("saelens", "cfg.json"), ("plain", "*.json")])
def test_files_for_other_tools_tell_no_path_either(tmp_path: Path, tool: str, file: str) -> None:
    told = {"site": "resid_post.1", "model": MODEL, "corpus": CORPUS}
    save_sae(TopK(TopK.Config(d_in=7, n_latents=5, k=2)), tmp_path / "mine", extra_config=told)
    push(tmp_path / "mine", str(tmp_path / "hub/me/one"), PushConfig(also=tool))
    out = pull(str(tmp_path / "hub/me/one"), out=tmp_path / "back").out
    texts = [path.read_text() for path in (out / "formats" / tool).rglob(file)]
    assert any("tiny-model" in text for text in texts)
    assert not any("secret" in text for text in texts)


def test_a_run_of_one_sae_names_the_places_of_no_other(made: RunFolder, tmp_path: Path) -> None:
    push(made.sae("topk"), str(tmp_path / "hub/me/one"))
    assert list(read_json(pull(str(tmp_path / "hub/me/one"), out=tmp_path / "back").out / RUN_FILE)["jobs"]) == ["topk"]
