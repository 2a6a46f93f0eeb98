"""What is pushed comes back whole, tells nothing of the machine it came from, and nothing of it is believed unread."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from monoseme.atlas import open_atlas
from monoseme.atlas.atlas import check_atlas
from monoseme.core.artifact import check_artifact, open_artifact
from monoseme.core.errors import AddressError, ArtifactDamagedError, ArtifactExistsError, ConfigError, ForeignError
from monoseme.core.files import hash_file, read_json, write_json
from monoseme.hub import PushConfig, pull, push
from monoseme.hub import _folder_remote as folder_remote
from monoseme.pipeline import RUN_FILE, RunFolder, gathered_report, open_sae, open_saes, run_config
from monoseme.saes import load_sae, save_sae
from monoseme.saes.normalized_topk import NormalizedTopK
from monoseme.saes.topk import TopK
from tests.hub.conftest import MODEL, make_run


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than everything else here; `test_card` draws."""
    monkeypatch.setattr("monoseme.hub._push._PICTURES", ())


def _texts(folder: Path) -> str:
    """All that is in a folder as one text; Parquet is read, as its pages are compressed."""
    import pyarrow.parquet as pq

    found = [
        str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else path.read_bytes().decode(errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return "\n".join(found)


def test_a_run_comes_back_and_opens_as_one(made: RunFolder, tmp_path: Path) -> None:
    pushed = push(made.path, str(tmp_path / "hub/me/tiny"), PushConfig(licence="mit", atlas=True))
    pulled = pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back", atlas=True)
    assert (pulled.revision, list(pulled.saes), pulled.left_out) == (pushed.revision, ["batchtopk", "topk"], ())
    ours, theirs = load_sae(made.sae("topk")), load_sae(pulled.saes["topk"])
    x = torch.randn(3, 7)
    assert torch.equal(ours.decode(ours.encode(x)), theirs.decode(theirs.encode(x)))
    assert [named.name for named in open_saes(str(pulled.out))] == ["batchtopk", "topk"]
    run = RunFolder(pulled.out)
    assert run_config(run).corpus.source == "texts.jsonl"
    (_, told) = gathered_report(run).saes
    assert told.metric("fvu") is not None
    assert told.scores
    assert check_atlas(run.atlas) == []
    atlas = open_atlas(run.atlas)
    (said,) = atlas.latent("topk", 0).explanations
    assert said.text == open_atlas(made.atlas).latent("topk", 0).explanations[0].text
    assert atlas.latents("topk").artifact.inputs["sae"] == open_artifact(pulled.saes["topk"]).content_hash
    assert not list(tmp_path.glob(".back*")), "no draft stays"


def test_no_path_of_this_machine_leaves_it(made: RunFolder, tmp_path: Path) -> None:
    pushed = push(made.path, str(tmp_path / "hub/me/tiny"), PushConfig(atlas=True))
    sent = _texts(tmp_path / "hub")
    assert "secret" in _texts(made.path), "it was planted"
    assert "secret" not in sent
    assert str(tmp_path) not in sent
    assert str(made.path) not in sent
    assert "n_cpus" not in sent
    assert "platform" not in sent
    assert len(pushed.hashes_changed) == len(list(made.path.rglob("manifest.json")))


def test_a_model_in_a_folder_is_told_from_one_of_the_hub(made: RunFolder, tmp_path: Path) -> None:
    pushed = push(made.path, str(tmp_path / "hub/me/tiny"), PushConfig(also="saelens"))
    out = pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back").out
    assert read_json(out / RUN_FILE)["config"]["model"]["model"] == "./tiny-model"
    assert open_artifact(out / "saes/topk").config["model"] == "./tiny-model"
    assert read_json(out / "formats/saelens/topk/cfg.json")["metadata"]["model_name"] == "./tiny-model"
    assert "of the language model tiny-model," in pushed.card
    again = push(out, str(tmp_path / "hub/me/again"))
    assert again.hashes_changed == (), "the name stays what it is"


def test_the_second_model_of_a_run_is_called_likewise(own: RunFolder, tmp_path: Path) -> None:
    record = read_json(own.path / RUN_FILE)
    record["config"]["beside"] = {"model": "/data/gpt2", "revision": None}
    write_json(own.path / RUN_FILE, record)
    push(own.path, str(tmp_path / "hub/me/tiny"), PushConfig(base_model="me/tiny-model"))
    sent = read_json(pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back").out / RUN_FILE)["config"]
    assert (sent["model"]["model"], sent["beside"]["model"]) == ("me/tiny-model", "./gpt2")


def test_hashes_are_the_same_where_no_setting_names_a_path(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", model="EleutherAI/pythia-70m", corpus="openwebtext")
    pushed = push(run.path, str(tmp_path / "hub/me/tiny"))
    pulled = pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back")
    assert pushed.hashes_changed == ()
    assert open_artifact(pulled.saes["topk"]).content_hash == open_artifact(run.sae("topk")).content_hash
    assert "base_model: EleutherAI/pythia-70m" in pushed.card
    assert "- openwebtext" in pushed.card


def test_a_changed_hash_is_followed_and_the_old_one_kept(made: RunFolder, tmp_path: Path) -> None:
    push(made.path, str(tmp_path / "hub/me/tiny"), PushConfig(base_model="me/tiny-model"))
    pulled = pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back")
    sae, before = open_artifact(pulled.saes["topk"]), open_artifact(made.sae("topk"))
    assert sae.config["model"] == "me/tiny-model"
    assert sae.content_hash != before.content_hash == sae.environment["hash_before_push"]
    report = open_artifact(pulled.out / "evaluations/topk/fidelity")
    assert report.inputs["sae"] == sae.content_hash
    said = open_artifact(pulled.out / "annotations/topk/detection.offline")
    assert said.inputs["explanations"] == open_artifact(pulled.out / "annotations/topk/offline").content_hash


def test_an_atlas_sent_later_belongs_to_the_sae_sent_before(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    first = push(made.path, to)
    push(made.path, to, PushConfig(atlas=True))
    old = pull(f"{to}@{first.revision}", out=tmp_path / "old")
    new = pull(to, out=tmp_path / "new", atlas=True)
    scanned = open_atlas(new.atlas or Path()).latents("topk").artifact.inputs["sae"]
    assert scanned == open_artifact(old.saes["topk"]).content_hash


def test_an_atlas_of_other_saes_is_refused(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    first = push(made.path, to, PushConfig(atlas=True))
    tagged = push(made.path, to, PushConfig(atlas=True, revision="v1"))
    other = make_run(tmp_path / "other", corpus="another text", model="another/model")
    second = push(other.path, to, PushConfig(atlas=True))
    with pytest.raises(AddressError, match=r"not of the SAEs of this revision: topk is of another one\.\n  Leave --atlas out"):
        pull(f"{to}@{first.revision}", out=tmp_path / "back", atlas=True)
    assert not (tmp_path / "back").exists()
    assert pull(f"{to}@{first.revision}", out=tmp_path / "alone").revision == first.revision
    assert pull(f"{to}@v1", out=tmp_path / "v1", atlas=True).revision == tagged.revision
    assert pull(to, out=tmp_path / "now", atlas=True).revision == second.revision


def test_the_same_push_again_changes_nothing(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    first, again = push(made.path, to), push(made.path, to)
    assert (first.is_new, again.is_new) == (True, False)
    assert first.revision == again.revision
    assert len((tmp_path / "hub/me/tiny/messages.jsonl").read_text().splitlines()) == 1


def test_a_revision_never_changes_and_branches_move(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    first = push(made.path, to)
    second = push(made.path, to, PushConfig(revision="v2", licence="mit"))
    assert first.revision != second.revision
    assert pull(to, out=tmp_path / "a").revision == first.revision
    assert pull(f"{to}@v2", out=tmp_path / "b").revision == second.revision
    assert pull(to, out=tmp_path / "c", revision=second.revision).revision == second.revision
    with pytest.raises(AddressError, match="no revision 'v3'"):
        pull(f"{to}@v3", out=tmp_path / "d")
    with pytest.raises(AddressError, match="no repository me/tinny"):
        pull(str(tmp_path / "hub/me/tinny"), out=tmp_path / "d")


def test_an_interrupted_push_leaves_the_old_revision_whole(
    made: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = str(tmp_path / "hub/me/tiny")
    first = push(made.path, to)

    def stopped(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    for name in ("write_atomic", "new_folder"):
        with monkeypatch.context() as patched:
            patched.setattr(folder_remote, name, stopped)
            with pytest.raises(KeyboardInterrupt):
                push(made.path, to, PushConfig(licence="mit" if name == "new_folder" else "other"))
        assert pull(to, out=tmp_path / name).revision == first.revision
    assert push(made.path, to, PushConfig(licence="mit")).is_new


def test_one_sae_of_a_run_goes_alone(made: RunFolder, tmp_path: Path) -> None:
    pushed = push(made.sae("topk"), str(tmp_path / "hub/me/one"))
    pulled = pull(str(tmp_path / "hub/me/one"), out=tmp_path / "back")
    assert list(pulled.saes) == ["topk"]
    assert open_sae(str(pulled.out)).name == "topk"
    assert "batchtopk" not in {file.name for file in pushed.files}
    rows = [json.loads(line) for line in (pulled.out / "training/metrics.jsonl").read_text().splitlines()]
    assert {row["sae"] for row in rows} == {"topk"}
    assert all("rss_mb" not in row for row in rows)


def test_an_sae_of_no_run_lies_at_the_top(tmp_path: Path) -> None:
    save_sae(
        TopK(TopK.Config(d_in=7, n_latents=5, k=2)), tmp_path / "mine", extra_config={"site": "resid_post.1", "model": MODEL}
    )
    pushed = push(tmp_path / "mine", str(tmp_path / "hub/me/one"))
    pulled = pull(str(tmp_path / "hub/me/one"), out=tmp_path / "back")
    assert (pulled.holds, pulled.saes) == ("sae", {"mine": tmp_path / "back"})
    assert open_sae(str(pulled.out)).sae.n_latents == 5
    assert "no evaluation of it is here" in pushed.card


def test_explanations_that_travel_can_be_chosen(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    names = {file.name for file in push(made.path, to, PushConfig(explanations="offline")).files}
    assert {"annotations/topk/offline/explanations.parquet", "annotations/topk/detection.offline/scores.parquet"} <= names
    silent = push(made.path, to, PushConfig(explanations="none"))
    assert not [file.name for file in silent.files if "annotations" in file.name or "explanations" in file.name]
    said = open_atlas(made.atlas).latent("topk", 0).explanations[0].text or ""
    assert "Latents, for example" not in silent.card
    assert said not in silent.card
    with pytest.raises(ConfigError, match='no explanations are labelled "offlin"'):
        push(made.path, to, PushConfig(explanations="offlin"))


def test_explanations_can_be_imported_into_another_atlas(made: RunFolder, own: RunFolder, tmp_path: Path) -> None:
    from monoseme.atlas.formats import import_notes

    push(made.path, str(tmp_path / "hub/me/tiny"))
    pulled = pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back")
    (notes,) = pulled.annotations
    assert any(f"import {notes} --atlas" in line for line in pulled.next)
    found = import_notes(open_atlas(own.atlas), "topk", notes, label="theirs")
    assert found.n_explanations > 0


def test_a_damaged_artifact_is_not_sent(own: RunFolder, tmp_path: Path) -> None:
    file = own.sae("topk") / "sae.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArtifactDamagedError, match="nothing was sent"):
        push(own.path, str(tmp_path / "hub/me/tiny"))
    assert not (tmp_path / "hub").exists()


def test_a_damaged_repository_is_not_kept(made: RunFolder, tmp_path: Path) -> None:
    to, out = str(tmp_path / "hub/me/tiny"), tmp_path / "back"
    pushed = push(made.path, to)
    snapshot = tmp_path / "hub/me/tiny/snapshots" / (pushed.revision or "")
    weights = snapshot / "saes/topk/sae.safetensors"
    whole = weights.read_bytes()
    for broken in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        weights.write_bytes(broken)
        with pytest.raises(ArtifactDamagedError, match=r"saes/topk/sae\.safetensors"):
            pull(to, out=out)
        assert not out.exists()
    weights.unlink()
    with pytest.raises(ArtifactDamagedError, match="missing"):
        pull(to, out=out)
    assert push(made.path, to).revision == pushed.revision, "the same push mends it"
    assert pull(to, out=out).revision == pushed.revision
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for there in (out, tmp_path / "link"):
        with pytest.raises(ArtifactExistsError):
            pull(to, out=there)


def _tampered(snapshot: Path, name: str, change: object) -> None:
    """Changes a JSON file of a snapshot, and its line in the index, as somebody who means harm would."""
    content = read_json(snapshot / name)
    change(content)  # pyright: ignore
    write_json(snapshot / name, content)
    if name != "monoseme.json":
        index = read_json(snapshot / "monoseme.json")
        index["files"][name] = {"hash": hash_file(snapshot / name), "bytes": (snapshot / name).stat().st_size}
        write_json(snapshot / "monoseme.json", index)


@pytest.mark.parametrize("kind", ["saes/topk", "evaluations/topk/fidelity", "latents/topk"])
def test_files_that_agree_with_the_index_must_agree_with_their_manifest_too(made: RunFolder, tmp_path: Path, kind: str) -> None:
    to = str(tmp_path / "hub/me/tiny")
    pushed = push(made.path, to, PushConfig(atlas=True))
    is_atlas = kind.startswith("latents") and pushed.atlas is not None
    folder, found = ("datasets/me/tiny-atlas", pushed.atlas) if is_atlas else ("me/tiny", pushed)
    snapshot = tmp_path / "hub" / folder / "snapshots" / ((found and found.revision) or "")
    name = next(name for name in read_json(snapshot / kind / "manifest.json")["files"])
    (snapshot / kind / name).write_bytes((snapshot / kind / name).read_bytes() + b" ")
    facts = {"hash": hash_file(snapshot / kind / name), "bytes": (snapshot / kind / name).stat().st_size}
    _tampered(snapshot, "monoseme.json", lambda c: c["files"].update({f"{kind}/{name}": facts}))
    with pytest.raises(ArtifactDamagedError, match="nothing was kept"):
        pull(to, out=tmp_path / "back", atlas=True)
    assert not (tmp_path / "back").exists()


def test_what_a_repository_says_is_not_believed(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    snapshot = tmp_path / "hub/me/tiny/snapshots" / (push(made.path, to).revision or "")
    shutil.copytree(snapshot, tmp_path / "whole")
    cases = [
        ("monoseme.json", lambda c: c["files"].update({"../out": {"hash": "sha256:0", "bytes": 1}}), ForeignError),
        ("monoseme.json", lambda c: c["files"].update({"/etc/x": {"hash": "sha256:0", "bytes": 1}}), ForeignError),
        ("monoseme.json", lambda c: c["saes"]["topk"].update(path="../../x"), ForeignError),
        ("monoseme.json", lambda c: c["saes"]["topk"].update(content_hash="sha256:other"), ArtifactDamagedError),
        ("monoseme.json", lambda c: c.update(holds="atlas"), AddressError),
        ("monoseme.json", lambda c: c["files"]["run.json"].update(bytes=-1), ForeignError),
        ("monoseme.json", lambda c: c["files"]["run.json"].update(bytes="1"), ForeignError),
        ("monoseme.json", lambda c: c["files"].update({".hidden": {"hash": "sha256:0", "bytes": 1}}), ForeignError),
        ("monoseme.json", lambda c: c["files"].update({"a\\b": {"hash": "sha256:0", "bytes": 1}}), ForeignError),
        ("monoseme.json", lambda c: c.update(files=[]), ForeignError),
        ("monoseme.json", lambda c: c.update(saes={}), ForeignError),
        ("monoseme.json", lambda c: c.update(holds="program"), ForeignError),
        ("monoseme.json", lambda c: c.update(schema=99), AddressError),
        ("monoseme.json", lambda c: c["files"].update({"a" * 256: {"hash": "sha256:0", "bytes": 1}}), ForeignError),
        ("monoseme.json", lambda c: c["files"].update({"a\x1b[2J": {"hash": "sha256:0", "bytes": 1}}), ForeignError),
        ("monoseme.json", lambda c: c["saes"].update({"a\nb": c["saes"]["topk"]}), ForeignError),
        (RUN_FILE, lambda c: c["artifacts"]["saes"].update(topk="/etc"), ForeignError),
        (RUN_FILE, lambda c: c["artifacts"].update(atlas="../../other"), ForeignError),
        (RUN_FILE, lambda c: c["artifacts"].update(other=[{"a": "/etc"}]), ForeignError),
        ("saes/topk/manifest.json", lambda c: c["config"].update(k=3), ArtifactDamagedError),
    ]
    for name, change, expected in cases:
        _tampered(snapshot, name, change)
        with pytest.raises(expected):
            pull(to, out=tmp_path / "back")
        assert not (tmp_path / "back").exists()
        shutil.rmtree(snapshot)
        shutil.copytree(tmp_path / "whole", snapshot)


def test_nothing_that_could_run_is_taken(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    snapshot = tmp_path / "hub/me/tiny/snapshots" / (push(made.path, to).revision or "")
    (snapshot / "evil.py").write_text("raise SystemExit")
    (snapshot / "\x1b[2J.md").write_text("clears the screen of who reads its name")
    (snapshot / "saes/topk/sae.pkl").write_bytes(b"evil")
    facts = {"hash": hash_file(snapshot / "saes/topk/sae.pkl"), "bytes": 4}
    _tampered(snapshot, "monoseme.json", lambda c: c["files"].update({"saes/topk/sae.pkl": facts}))
    _tampered(snapshot, RUN_FILE, lambda c: c["config"]["model"].update(trust_remote_code=True))
    pulled = pull(to, out=tmp_path / "back")
    told = "\n".join(pulled.left_out)
    assert all(word in told for word in ("evil.py", "sae.pkl", "trust_remote_code", r"\x1b[2J.md"))
    assert told.replace("\n", "").isprintable()
    assert not list(pulled.out.rglob("*.p*[yl]"))
    assert not run_config(RunFolder(pulled.out)).model.trust_remote_code


def test_another_tools_format_goes_beside_or_instead(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    pickled = NormalizedTopK(NormalizedTopK.Config(d_in=7, n_latents=5, k=2)).export()
    save_sae(pickled, tmp_path / "pickled", extra_config={"site": "resid_post.1", "model": "tiny"})
    with pytest.raises(ConfigError, match="can run programs"):
        push(tmp_path / "pickled", to, PushConfig(format="llama3_sae"))
    beside = push(made.path, to, PushConfig(also="plain"))
    assert [file.name for file in beside.files if file.name.startswith("formats/plain/topk/")]
    instead = push(made.sae("topk"), str(tmp_path / "hub/me/plain"), PushConfig(format="plain"))
    assert "library_name: plain" in instead.card
    pulled = pull(str(tmp_path / "hub/me/plain"), out=tmp_path / "back")
    assert (pulled.holds, pulled.next[0].split()[:2]) == ("foreign", ["monoseme", "import"])
    opened = open_sae(str(pulled.out)).sae
    x = torch.randn(3, 7)
    torch.testing.assert_close(
        opened.decode(opened.encode(x)), load_sae(made.sae("topk")).decode(load_sae(made.sae("topk")).encode(x))
    )


def test_a_dry_run_sends_nothing_and_says_what_it_would(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    planned = push(made.path, to, PushConfig(dry_run=True, atlas=True))
    assert planned.revision is None
    assert not (tmp_path / "hub").exists()
    done = push(made.path, to, PushConfig(atlas=True))
    assert planned.files == done.files
    assert planned.atlas is not None
    assert done.atlas is not None
    assert planned.atlas.files == done.atlas.files
    assert planned.n_bytes == sum(file.n_bytes for file in done.files)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"licence": "MIT License"}, "no licence as the hub writes"),
        ({"base_model": "/data/model"}, "no name of a model"),
        ({"format": "plain", "also": "plain"}, "one of the two"),
        ({"format": "plain", "atlas": True}, "knows no atlas"),
        ({"revision": "../x"}, "cannot name a revision"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        PushConfig(**settings)  # pyright: ignore


def test_links_are_not_followed_out_of_a_pulled_folder(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    push(made.path, to)
    pulled = pull(to, out=tmp_path / "back")
    assert not [path for path in pulled.out.rglob("*") if path.is_symlink()]
    assert (pulled.saes["topk"] / "sae.safetensors").stat().st_nlink == 1, "writing to it changes nothing elsewhere"
    assert all(check_artifact(path) == [] for path in pulled.saes.values())
