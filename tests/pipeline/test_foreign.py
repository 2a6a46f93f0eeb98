"""An SAE of another tool where one of ours goes: opened, measured, scanned, steered with, verified, and learning on."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

import monoseme
from monoseme.atlas import open_atlas
from monoseme.cli.main import main
from monoseme.core.display import use_display
from monoseme.core.errors import ArtifactMissingError, ConfigError, SiteError
from monoseme.core.files import read_json, write_json
from monoseme.hub import PushConfig, push
from monoseme.interchange import ExportSource, ForeignSae, ReadSae, export_sae, import_saes, require_sites
from monoseme.models import LanguageModel, ModelConfig, Site
from monoseme.pipeline import (
    OF_RUN,
    RUN_FILE,
    NamedSae,
    RunFolder,
    ScanRequest,
    SessionConfig,
    find_saes,
    has_given_saes,
    open_sae,
    open_saes,
    open_session,
    run_config,
    scan_saes,
    settings_for,
    train_run,
    verify_place,
)
from monoseme.pipeline._saes import require_width
from monoseme.saes import build
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.topk import TopK
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.studies._first_letter.config import FirstLetterConfig
from monoseme.studies._labelled.bench import LabelledBench
from monoseme.studies._labelled.config import LabelledConfig
from monoseme.studies._workbench import SaeStudyConfig, Workbench
from monoseme.text import CorpusConfig
from monoseme.web import create_app
from tests.pipeline.conftest import Told, tiny_config

NAME = "topk.mlp_out_1"


def _exported(run: RunFolder, out: Path, *, model: str | None, name: str = NAME) -> Path:
    named = open_sae(str(run.sae(name)))
    export_sae(named.sae, out, format="plain", source=ExportSource(name="theirs", sites=named.sites, model=model))
    told = read_json(out / "sae.json")
    write_json(out / "sae.json", {**told, "model": model})  # an export names a folder without its path; files of others may not
    return out


@pytest.fixture(scope="module")
def foreign(run: RunFolder, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _exported(run, tmp_path_factory.mktemp("foreign") / "theirs", model=str(model_folder))


def test_it_opens_with_a_hash_its_places_and_its_model(foreign: Path, run: RunFolder, model_folder: Path) -> None:
    named, ours = open_sae(str(foreign)), open_sae(str(run.sae(NAME)))
    assert (named.name, named.sites, named.model) == ("theirs", ours.sites, str(model_folder))
    assert named.content_hash == open_sae(str(foreign / "sae.safetensors")).content_hash
    assert torch.equal(named.sae.W_dec, ours.sae.W_dec)


@pytest.mark.parametrize(
    ("noted", "name"),
    [("gpt2", "gpt2"), ({"model": "gpt2", "dtype": "float32"}, "gpt2"), ({"revision": "main"}, None), (7, None)],
)
def test_an_export_names_the_model_that_is_noted_beside_an_sae(run: RunFolder, noted: object, name: str | None) -> None:
    named = open_sae(str(run.sae(NAME)))._replace(model=None)
    named.sae.provenance = {"model": noted}
    assert (named.export_source.model, named.export_source.sites) == (name, named.sites)
    assert named._replace(model="own").export_source.model == "own"


def test_the_model_is_the_one_its_files_name_and_one_error_names_what_lacks(
    foreign: Path, run: RunFolder, tmp_path: Path
) -> None:
    found, of_run, text = find_saes([str(foreign)]), ModelConfig(model=OF_RUN), CorpusConfig(source=OF_RUN)
    assert settings_for(found, model=of_run).model.model == open_sae(str(foreign)).model
    with pytest.raises(ConfigError, match=r"Give --corpus\."):
        settings_for(found, model=of_run, corpus=text)
    bare = find_saes([str(_exported(run, tmp_path / "bare", model=None))])
    with pytest.raises(ConfigError, match=r"Give --model and --corpus\."):
        settings_for(bare, model=of_run, corpus=text)


def test_eval_measures_it_as_the_sae_that_it_was(
    foreign: Path, run: RunFolder, corpus_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--corpus", str(corpus_file), "--context_len", "32", "--evaluations", "smoothness", "--json"]
    assert main(["eval", str(foreign), *words]) == 0
    theirs = json.loads(capsys.readouterr().out)["results"][str(foreign)]
    ours_word = str(run.sae(NAME))
    assert main(["eval", ours_word, "--model", str(open_sae(str(foreign)).model), *words, "--part", "all"]) == 0
    ours = json.loads(capsys.readouterr().out)["results"][ours_word]
    assert theirs["theirs"] == ours[NAME]


def test_it_is_scanned_verified_and_steered_with(foreign: Path, corpus_file: Path, tmp_path: Path) -> None:
    corpus = CorpusConfig(source=str(corpus_file), context_len=32)
    settings = ScanRequest(saes=(str(foreign),), out=tmp_path / "atlas", corpus=corpus)
    small = dataclasses.replace(settings, settings=dataclasses.replace(settings.settings, n_tokens=600))
    scan_saes(small)
    atlas = open_atlas(tmp_path / "atlas")
    assert atlas.saes() == ["theirs"]
    found = verify_place(tmp_path / "atlas", saes=(str(foreign),))
    assert found.is_sound
    session = open_session(SessionConfig(sae=(str(foreign),), atlas=tmp_path / "atlas", steer=("3=2",), watch=("theirs:5",)))
    assert [latent.latent for latent in session.watched] == [5]


def test_two_of_one_name_are_told_with_their_files_and_what_to_type(run: RunFolder, tmp_path: Path) -> None:
    words = [str(_exported(run, tmp_path / one / "sae", model=None)) for one in ("a", "b")]
    with pytest.raises(ConfigError) as told:
        find_saes(words)
    first, *rest = str(told.value).splitlines()
    assert first == f"2 SAEs have the name theirs: {words[0]}, {words[1]}."
    assert rest[0].endswith("rename one of their folders, or import one and give OUT instead:")
    assert rest[1:] == [f"  monoseme import {words[1]} --out OUT"]
    assert main(["import", words[1], "--out", str(tmp_path / "other")]) == 0
    assert [found.named.name for found in find_saes([words[0], str(tmp_path / "other")])] == ["theirs", "other"]


def test_twins_of_runs_are_not_told_to_be_imported(run: RunFolder, tmp_path: Path) -> None:
    twin = tmp_path / run.path.name
    shutil.copytree(run.path / "saes", twin / "saes")
    shutil.copyfile(run.path / RUN_FILE, twin / RUN_FILE)
    with pytest.raises(ConfigError, match=r"give it once; else rename the folder of a run\.$"):
        find_saes([str(run.sae(NAME)), str(twin / "saes" / NAME)])


def test_several_beside_each_other_open_together(run: RunFolder, tmp_path: Path) -> None:
    for name in (NAME, "batchtopk.mlp_out_1"):
        given = _exported(run, tmp_path / f"given-{name}", model=None, name=name)
        import_saes(given, tmp_path / "all" / name)
    assert [named.name for named in open_saes(str(tmp_path / "all"))] == ["batchtopk.mlp_out_1", NAME]
    with pytest.raises(ArtifactMissingError, match=f"{tmp_path}/all/{NAME}"):
        open_sae(str(tmp_path / "all"))


def test_what_was_recognised_is_told_once(run: RunFolder, tmp_path: Path) -> None:
    given = str(_exported(run, tmp_path / "one", model=None))
    display = Told()
    with use_display(display):
        open_saes(given)
        open_saes(given)
    assert [line for line in display.lines if given in line] == [f"{given}: recognised as plain"]


@pytest.mark.parametrize("imported", [False, True])
def test_it_learns_on_from_the_parameters_of_the_file(
    foreign: Path, model_folder: Path, corpus_file: Path, tmp_path: Path, imported: bool
) -> None:
    word = foreign
    if imported:
        import_saes(foreign, tmp_path / "theirs")
        word = tmp_path / "theirs"
    config = tiny_config(model_folder, corpus_file, n_steps=2)
    train = dataclasses.replace(config.train, lr=1e-12)
    on = train_run(dataclasses.replace(config, saes=(), sites=None, start_from=(str(word),), train=train), tmp_path / "on")
    before, after = open_sae(str(foreign)).sae, open_sae(str(on.sae("theirs"))).sae
    for name, value in before.named_parameters():
        assert torch.allclose(after.get_parameter(name), value, atol=1e-6), name


def test_an_sae_of_another_width_than_the_model_is_refused_before_anything_is_measured() -> None:
    sae = build(TopK.Config(d_in=7, n_latents=11, k=2, sites=("resid_post.1",)))
    named = NamedSae("one", sae, (Site.parse("resid_post.1"),), None)
    spec = LanguageModel.load("bundled").spec
    with pytest.raises(SiteError, match=r"one reads vectors of D=7, but resid_post.1 of this model has D="):
        require_width(named, named.sites, spec)


@pytest.mark.parametrize("file", ["", "sae.safetensors"])
@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (("show",), "monoseme import {} --out OUT"),
        (("check",), "monoseme import {} --out OUT"),
        (("report",), "monoseme eval {} --corpus TEXT --out RUN"),
        (("search", "--text", "cat"), "monoseme scan {} --corpus TEXT --out ATLAS"),
    ],
)
def test_a_verb_that_needs_more_names_what_makes_it_of_an_sae_of_another_tool(
    foreign: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], typed: str, file: str
) -> None:
    path = foreign / file if file else foreign
    assert main([words[0], str(path), *words[1:]]) == 2
    told = capsys.readouterr().err
    assert "an SAE of another tool (plain)" in told
    assert typed.format(path) in told


def test_a_folder_of_nothing_is_no_sae_of_another_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for verb in ("show", "check", "report"):
        assert main([verb, str(tmp_path)]) == 2
        assert "another tool" not in capsys.readouterr().err


def test_a_run_is_made_of_it_that_every_verb_of_runs_takes(
    foreign: Path, run: RunFolder, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    words = ["--corpus", str(corpus_file), "--context_len", "32", "--evaluations", "smoothness", "--out", str(made)]
    assert main(["eval", str(foreign), *words]) == 0
    assert f"monoseme scan {made}" in capsys.readouterr().out
    for verb in (["scan", "--n_tokens", "600"], ["explain", "--most_latents", "3"], ["report"], ["check"]):
        assert main([verb[0], str(made), *verb[1:]]) == 0, capsys.readouterr().err
    assert torch.equal(open_sae(str(made)).sae.W_dec, open_sae(str(run.sae(NAME))).sae.W_dec)
    page = (made / "report" / "index.html").read_text(encoding="utf-8")
    assert "theirs" in page
    assert "Trained on" not in page
    assert "how it was trained is not known here" in page
    assert not any(said in page for said in ("held-out documents", "batch_size", "optimiser"))
    with TestClient(create_app([made]), base_url="http://127.0.0.1") as client:
        home = "/api/runs/made"
        overview = client.get(home).json()
        assert overview["has_given_saes"]
        facts = {fact["label"]: fact["value"] for fact in overview["facts"]}
        assert (facts["Measured on"], facts["Training"]) == (str(corpus_file), "not known here")
        assert facts.keys().isdisjoint({"Held out", "Batch size", "Seed", "Learning rate", "Text"})
        (sae,) = overview["saes"]
        assert (sae["name"], sae["architecture"], sae["has_atlas"]) == ("theirs", "topk", True)
        text = {"text": "The cat saw the dog."}
        for asked, query in (
            ("", {}),
            ("/saes/theirs/latents", {}),
            ("/saes/theirs/latents/3", {}),
            ("/saes/theirs/prompt", text),
            ("/saes/theirs/prompt/time", text),
            ("/saes/theirs/prompt/logits", text),
            ("/steer", {}),
        ):
            answer = client.get(f"{home}{asked}", params=query)
            assert answer.status_code == 200, (asked, answer.text)
        latents = [{"sae": "theirs", "latent": 3, "strength": 2.0, "unit": "raw"}]
        steer = {"prompts": ["The cat"], "latents": latents, "sampling": {"max_new_tokens": 3}}
        told = client.post(f"{home}/steer", json=steer)
        assert told.status_code == 200, told.text
        assert "event: done" in told.text, told.text


def test_nothing_claims_how_given_saes_were_trained(
    foreign: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, pulled = tmp_path / "made", tmp_path / "pulled"
    words = ["--corpus", str(corpus_file), "--context_len", "32", "--fidelity.max_tokens", "2_00", "--out", str(made)]
    limits = ["--fidelity.max_loss_tokens=None", "--fidelity.n-replicates", "20"]
    assert main(["eval", str(foreign), *words, *limits]) == 0
    fidelity = run_config(RunFolder(made)).fidelity
    assert (fidelity.max_tokens, fidelity.max_loss_tokens, fidelity.n_replicates) == (200, None, 20)
    assert main(["push", str(made), f"{tmp_path}/hub/owner/name"]) == 0
    card = push(made, "owner/name", PushConfig(dry_run=True)).card
    assert f"It is measured on {corpus_file.name}; how it was trained is not known here." in card
    assert not any(said in card for said in ("held out of training", "batch (tokens)", "optimiser", "held-out documents"))
    assert main(["pull", f"{tmp_path}/hub/owner/name", "--out", str(pulled)]) == 0
    capsys.readouterr()
    for run in (made, pulled):
        assert main(["show", str(run), "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert "train" not in shown["config"]
        assert shown["made"].endswith(f"{corpus_file.name}; how it was trained is not known here")
        assert has_given_saes(shown)
        sae = monoseme.open(run / "saes" / "theirs")
        assert isinstance(sae, monoseme.Sae)
        assert sae.card.facts["training"] == "not known here"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "Give --corpus"),
        (("--corpus", "TEXT", "--part", "all"), "--part"),
        (("--corpus", "TEXT", "--overwrite"), "--overwrite"),
        (("--corpus", "TEXT", "--fidelity.max_tokens", "many"), "must be a number"),
        (("--corpus", "TEXT", "--fidelity.max_tokens", "0"), "max_tokens"),
    ],
)
def test_a_run_that_could_not_be_made_is_refused_before_anything_is_measured(
    foreign: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    words = [str(corpus_file) if word == "TEXT" else word for word in more]
    assert main(["eval", str(foreign), "--out", str(tmp_path / "made"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_the_places_that_are_asked_for_are_as_many_as_the_sae_has(tmp_path: Path) -> None:
    for sae, sites in (
        (build(TopK.Config(d_in=7, n_latents=11, k=2)), "resid_post.12"),
        (build(Crosscoder.Config(d_in=7, n_latents=11, k=2, n_sites=3)), "resid_post.0,resid_post.1,resid_post.2"),
    ):
        read = ReadSae("plain", ForeignSae(name="theirs", sae=sae), None)
        with pytest.raises(SiteError, match=rf"--site {re.escape(sites)} --out"):
            require_sites(read, tmp_path)


def test_studies_with_texts_of_their_own_need_no_text_of_an_sae_without_a_run(foreign: Path, tmp_path: Path) -> None:
    saes = (str(foreign),)
    for bench in (
        LabelledBench(LabelledConfig(sae=saes), tmp_path),
        FirstLetterBench(FirstLetterConfig(sae=saes), tmp_path),
    ):
        assert [subject.name for subject in bench.subjects] == ["theirs"]
    with pytest.raises(ConfigError, match=r"Give --corpus\."):
        Workbench(SaeStudyConfig(sae=saes))
