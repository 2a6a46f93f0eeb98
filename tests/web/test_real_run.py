"""The app over a real run, made by the pipeline on a text full of markup."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from monoseme.core.errors import ModelNotFoundError
from monoseme.core.files import read_json, write_json
from monoseme.models import LanguageModel, ModelConfig
from monoseme.web import create_app

RUN = "/api/runs/tiny"
SAE = f"{RUN}/saes/topk"


@pytest.fixture(scope="module")
def rows(real: TestClient) -> list[dict[str, Any]]:
    return real.get(f"{SAE}/latents", params={"sort": "density", "order": "descending", "limit": 500}).json()["rows"]


def test_overview_holds_every_metric_of_every_sae(real: TestClient, run_folder: Path) -> None:
    overview = real.get(RUN).json()
    assert [sae["name"] for sae in overview["saes"]] == sorted(["topk", "batchtopk"])
    for sae in overview["saes"]:
        report = read_json(run_folder / "evaluations" / sae["name"] / "fidelity" / "report.json")
        assert [m["name"] for m in sae["metrics"]] == [m["name"] for m in report["metrics"]]
        assert [m["value"] for m in sae["metrics"]] == [m["value"] for m in report["metrics"]]
        assert sae["site"] == "resid_post.1"
    assert {fact["label"] for fact in overview["facts"]} >= {"Tokens trained on", "Tokens scanned", "Seed"}


def test_every_chart_named_is_a_specification_with_data(real: TestClient) -> None:
    charts = real.get(RUN).json()["charts"]
    assert {"training_fvu", "density", "model_losses"} <= {chart["name"] for chart in charts}
    for chart in charts:
        spec = real.get(f"{RUN}/charts/{chart['name']}").json()
        data = [layer["data"] for layer in [spec, *spec.get("layer", [])] if "data" in layer]
        assert any(found.get("values") for found in data), chart
        assert spec["width"] == "container"


def test_densities_in_the_table_are_those_of_the_pages(real: TestClient, rows: list[dict[str, Any]]) -> None:
    assert len(rows) == 67
    for row in (rows[0], rows[-1]):
        page = real.get(f"{SAE}/latents/{row['index']}").json()
        assert page["density"] == row["density"] == page["n_active"] / page["n_tokens"]
        assert page["max"] == row["max"]


def test_examples_peak_at_their_strongest_token(real: TestClient, rows: list[dict[str, Any]]) -> None:
    page = real.get(f"{SAE}/latents/{rows[0]['index']}").json()
    first = page["groups"][0]["examples"][0]
    assert first["values"][first["peak"]] == page["max"]
    for group in page["groups"]:
        for example in group["examples"]:
            assert len(example["tokens"]) == len(example["values"])
            assert example["values"][example["peak"]] <= page["max"]


def test_top_tokens_are_the_tokens_it_fires_on(real: TestClient, rows: list[dict[str, Any]]) -> None:
    page = real.get(f"{SAE}/latents/{rows[0]['index']}").json()
    first = page["groups"][0]["examples"][0]
    assert rows[0]["top_tokens"][0] == first["tokens"][first["peak"]]


def test_explanations_have_a_score_with_controls(real: TestClient, rows: list[dict[str, Any]]) -> None:
    explained = next(row for row in rows if row["score"] is not None)
    page = real.get(f"{SAE}/latents/{explained['index']}").json()
    first = page["explanations"][0]["scores"][0]
    assert first["name"] == "balanced_accuracy"
    assert first["value"] == explained["score"]
    assert {control["name"] for control in first["controls"]} == {"balanced_accuracy_other", "balanced_accuracy_empty"}


def test_cards_and_histograms_agree_with_the_page(real: TestClient, rows: list[dict[str, Any]]) -> None:
    here = f"{SAE}/latents/{rows[0]['index']}"
    page, card = real.get(here).json(), real.get(f"{here}/card").json()
    assert card["histogram"] == page["histogram"]
    assert sum(page["histogram"]["counts"]) == page["n_active"]


def test_a_prompt_gives_each_token_its_k_latents(real: TestClient) -> None:
    text = 'The dog said: "<b>hello</b>".'
    reading = real.get(f"{SAE}/prompt", params={"text": text}).json()
    special = [token["special"] for token in reading["tokens"]]
    assert special == [True] + [False] * (len(special) - 1)
    assert "".join(token["text"] for token in reading["tokens"][1:]).strip() == text
    assert reading["tokens"][0]["firings"] == []
    assert all(0 < token["n_firings"] <= 5 for token in reading["tokens"][1:])
    for latent in reading["latents"]:
        values = [f["value"] for t in reading["tokens"] for f in t["firings"] if f["latent"] == latent["index"]]
        assert latent["max"] == max(values, key=abs)
        assert latent["n_tokens"] == len(values)


def test_a_prompt_reads_what_the_scan_read(real: TestClient, rows: list[dict[str, Any]]) -> None:
    """The beginning of a context, typed in, fires what the atlas says it fires on that token."""
    compared = 0
    for row in rows[:20]:
        page = real.get(f"{SAE}/latents/{row['index']}").json()
        shown = [example for group in page["groups"] for example in group["examples"]]
        begun = [example for example in shown if example["values"][0] is None]
        for example in begun[:3]:
            tokens = example["tokens"][: example["peak"] + 1]
            reading = real.get(f"{SAE}/prompt", params={"text": "".join(tokens[1:])}).json()
            if [token["text"] for token in reading["tokens"]] != tokens:
                continue  # a cut or joined text may be tokenised in another way
            firings = {f["latent"]: f["value"] for f in reading["tokens"][-1]["firings"]}
            # Rows of a float32 product depend on the batch's shape, so the last bits may differ.
            assert firings[row["index"]] == pytest.approx(example["values"][example["peak"]], rel=1e-3)
            compared += 1
    assert compared >= 5


def test_a_model_that_is_gone_is_said_and_everything_else_stays(run_folder: Path) -> None:
    def gone(config: ModelConfig) -> LanguageModel:
        raise ModelNotFoundError(f"no model at {config.model}\n  Give its folder.")

    client = TestClient(create_app([run_folder], model_loader=gone), base_url="http://127.0.0.1")
    answer = client.get(f"{SAE}/prompt", params={"text": "hello"})
    assert answer.status_code == 409
    assert "no model at bundled" in answer.json()["error"]
    assert client.get(f"{SAE}/latents/3").status_code == 200


def test_a_model_that_was_a_folder_elsewhere_is_told_at_once_and_can_be_named(run_folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run_folder, tmp_path / run_folder.name)
    record = read_json(other / "run.json")
    record["config"]["model"]["model"] = "their-model"
    write_json(other / "run.json", record)
    answer = TestClient(create_app([other]), base_url="http://127.0.0.1").get(f"{SAE}/prompt", params={"text": "hello"})
    assert answer.status_code == 409
    assert 'no model folder "their-model" here' in answer.json()["error"]
    assert "--model FOLDER" in answer.json()["hint"]
    loaded: list[str] = []

    def loader(config: ModelConfig) -> LanguageModel:
        loaded.append(config.model)
        return LanguageModel.load("bundled")

    client = TestClient(create_app([other], model="here", model_loader=loader), base_url="http://127.0.0.1")
    assert client.get(f"{SAE}/prompt", params={"text": "hello"}).status_code == 200
    assert loaded == ["here"]
    steer = {"prompts": ["The cat"], "arms": ["default"], "sampling": {"max_new_tokens": 1}}
    written = client.post(SAE.partition("/saes/")[0] + "/steer", json=steer).text
    assert "--model=here" in written


def test_a_run_that_is_only_trained_says_what_to_type(run_folder: Path, tmp_path: Path) -> None:
    early = tmp_path / "early"
    early.mkdir()
    record = read_json(run_folder / "run.json")
    kept = {"training": "training", "saes": record["artifacts"]["saes"]}
    write_json(early / "run.json", record | {"artifacts": kept})
    (early / "saes").symlink_to(run_folder / "saes")
    client = TestClient(create_app([early]), base_url="http://127.0.0.1")
    overview = client.get("/api/runs/early").json()
    assert not any(sae["has_atlas"] or sae["metrics"] for sae in overview["saes"])
    answer = client.get("/api/runs/early/saes/topk/latents")
    assert answer.status_code == 404
    assert "monoseme scan" in answer.json()["hint"]
    reading = client.get("/api/runs/early/saes/topk/prompt", params={"text": "hello"}).json()
    assert reading["latents"]
    assert reading["latents"][0]["explanation"] is None


def test_an_sae_has_one_colour_on_every_chart(real: TestClient) -> None:
    names = [sae["name"] for sae in real.get(RUN).json()["saes"]]
    for chart in ("training_fvu", "density"):
        spec = real.get(f"{RUN}/charts/{chart}").json()
        layer = spec.get("layer", [spec])[0]
        assert layer["encoding"]["color"]["scale"]["domain"] == names
