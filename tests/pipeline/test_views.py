"""One run takes SAEs of every view, of several sites, and of two models, from training to the prompt page."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from monoseme.atlas import open_atlas
from monoseme.core.artifact import open_artifact
from monoseme.core.errors import ConfigError, SiteError
from monoseme.evaluation import read_report
from monoseme.models import LanguageModel, ModelConfig
from monoseme.pipeline import BesideConfig, RunConfig, RunFolder, evaluate_run, open_sae, run_all, scan_run, train_run
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.tfa import TFA
from monoseme.saes.transcoder import Transcoder
from monoseme.saes.tsae import TSAE
from monoseme.web import create_app
from tests.pipeline.conftest import tiny_config

_SAES = tuple(kind.Config(n_latents=40, k=4) for kind in (TSAE, TFA, MLSAE, Transcoder))


def _config(model: Path, corpus: Path) -> RunConfig:
    config = dataclasses.replace(tiny_config(model, corpus), sites=None, saes=_SAES)
    return dataclasses.replace(config, evaluations=("fidelity", "smoothness"))


@pytest.fixture(scope="module")
def views(model_folder: Path, corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_all(_config(model_folder, corpus_file), tmp_path_factory.mktemp("views") / "run")


def test_each_learns_where_it_says(views: RunFolder) -> None:
    places = {name: [str(site) for site in open_sae(str(views.sae(name))).sites] for name in views.sae_names()}
    assert places == {
        "tsae": ["resid_post.1"],
        "tfa": ["resid_post.1"],
        "mlsae": ["resid_post.0", "resid_post.1", "resid_post.2"],
        "transcoder": ["mlp_in.1", "mlp_out.1"],
    }


def test_each_is_measured_with_its_reconstruction_in_the_model(views: RunFolder) -> None:
    for name in views.sae_names():
        found = read_report(views.evaluation(name, "fidelity"))
        assert found["ce_spliced"].value is not None, name
        assert read_report(views.evaluation(name, "smoothness")).metrics


def test_several_output_sites_are_also_told_apart(views: RunFolder) -> None:
    table = read_report(views.evaluation("mlsae", "fidelity")).tables["sites"]
    assert set(table["site"].to_pylist()) == {"resid_post.0", "resid_post.1", "resid_post.2"}


def test_what_was_scanned_goes_by_part_and_site(views: RunFolder) -> None:
    layers = [f"mlsae@resid_post.{layer}" for layer in range(3)]
    assert open_atlas(views.atlas).saes() == [*layers, "tfa.novel", "transcoder", "tsae"]


def test_a_scan_killed_between_two_sites_goes_on(views: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(shutil.copytree(views.path, tmp_path / "run"))
    kept, lost = (copy.atlas / "latents" / f"mlsae@resid_post.{layer}" for layer in (0, 1))
    before = open_artifact(lost).content_hash
    shutil.rmtree(lost)
    untouched = (kept / "manifest.json").stat().st_mtime_ns
    scan_run(copy, resume=True)
    assert open_artifact(lost).content_hash == before
    assert (kept / "manifest.json").stat().st_mtime_ns == untouched


def test_the_app_lists_and_reads_each_of_them(views: RunFolder) -> None:
    client = TestClient(create_app([views.path]), base_url="http://127.0.0.1")
    (run,) = client.get("/api/runs").json()
    shown = {sae["name"]: sae for sae in client.get(f"/api/runs/{run['id']}").json()["saes"]}
    assert sorted(shown) == open_atlas(views.atlas).saes()
    assert all(sae["has_atlas"] for sae in shown.values())
    for name in shown:
        reading = client.get(f"/api/runs/{run['id']}/saes/{name}/prompt", params={"text": "The cat saw the dog."}).json()
        assert sum(token["n_firings"] for token in reading["tokens"]) > 0, name


def test_other_evaluations_can_be_added_later(views: RunFolder) -> None:
    assert evaluate_run(views, ["layer_spread"])["mlsae"]["layer_spread"].metrics


@pytest.fixture
def other_model(tmp_path: Path, model_folder: Path) -> Path:
    """The same tokenizer with other weights."""
    model = LanguageModel.load(ModelConfig(model=str(model_folder)))
    for parameter in model._model.parameters():  # pyright: ignore[reportPrivateUsage]
        parameter.data.mul_(1.1)
    model._model.save_pretrained(tmp_path / "other")  # pyright: ignore
    model.tokenizer.save_pretrained(tmp_path / "other")
    return tmp_path / "other"


def test_a_crosscoder_learns_from_two_models(model_folder: Path, corpus_file: Path, other_model: Path, tmp_path: Path) -> None:
    sites = ("resid_post.0", "resid_post.0@beside")
    config = dataclasses.replace(
        tiny_config(model_folder, corpus_file),
        beside=BesideConfig(model=str(other_model)),
        sites=None,
        saes=(Crosscoder.Config(n_latents=40, k=4, sites=sites),),
    )
    run = run_all(config, tmp_path / "run")
    assert [str(site) for site in open_sae(str(run.sae("crosscoder"))).sites] == ["resid_post.0@model", "resid_post.0@beside"]
    found = read_report(run.evaluation("crosscoder", "fidelity"))
    assert found["fvu"].value is not None
    assert found["ce_spliced"].value is None
    assert open_atlas(run.atlas).saes() == ["crosscoder"]


def test_a_second_model_that_nobody_reads_is_refused(
    model_folder: Path, corpus_file: Path, other_model: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config(model_folder, corpus_file), beside=BesideConfig(model=str(other_model)))
    with pytest.raises(ConfigError, match=r"resid_post\.3@beside"):
        train_run(config, tmp_path / "run")
    with pytest.raises(SiteError, match="no model of this run is called"):
        train_run(dataclasses.replace(config, sites=("resid_post.0@chat",)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_site_of_a_second_model_needs_one() -> None:
    spec = LanguageModel.load(ModelConfig()).spec
    with pytest.raises(SiteError, match=r"resid_post\.0@beside is of a second model"):
        spec.sites(("resid_post.0", "resid_post.0@beside"))
