"""What the page of a latent asks for beside the page: judgements, a text, the vector; and the latent at other sites."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load
from starlette.testclient import TestClient

from monoseme.atlas import open_atlas
from monoseme.atlas.annotations import write_scores
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.said import Score
from monoseme.saes import load_sae
from monoseme.web import create_app
from monoseme.web.latent._layers import layers, role_densities
from monoseme.web.texts import shortened

SAE = "/api/runs/tiny/saes/topk"


@pytest.fixture(scope="module")
def busiest(real: TestClient) -> int:
    """The latent that fires most often."""
    rows = real.get(f"{SAE}/latents", params={"sort": "density", "order": "descending"}).json()["rows"]
    return rows[0]["index"]


def test_a_text_gives_the_values_of_the_prompt_page(real: TestClient, busiest: int) -> None:
    text = "The boy said hello to a little dog."
    trial = real.get(f"{SAE}/latents/{busiest}/trial", params={"text": text}).json()
    reading = real.get(f"{SAE}/prompt", params={"text": text}).json()
    expected = [
        None if token["special"] else next((f["value"] for f in token["firings"] if f["latent"] == busiest), 0.0)
        for token in reading["tokens"]
    ]
    assert trial["tokens"] == [token["text"] for token in reading["tokens"]]
    # Rows of a float32 product depend on the batch's shape, so the last bits may differ.
    assert trial["values"] == [value if value is None else pytest.approx(value, rel=1e-4) for value in expected]
    assert any(trial["values"])
    assert trial["values"][trial["peak"]] == max(value for value in trial["values"] if value is not None)


def test_a_text_on_which_it_is_silent_has_no_peak(real: TestClient) -> None:
    trials = [real.get(f"{SAE}/latents/{index}/trial", params={"text": "dog"}).json() for index in range(12)]
    silent = [trial for trial in trials if not any(trial["values"])]
    assert silent
    assert all(trial["peak"] is None for trial in silent)


def test_a_long_text_is_cut_and_a_longer_one_refused(real: TestClient) -> None:
    trial = real.get(f"{SAE}/latents/0/trial", params={"text": "dog " * 900}).json()
    assert len(trial["tokens"]) == len(trial["values"]) < 900
    assert "tokens were read" in trial["truncated"]
    assert real.get(f"{SAE}/latents/0/trial", params={"text": "x" * 4001}).status_code == 422
    assert real.get(f"{SAE}/latents/0/trial").status_code == 422


def test_the_vector_is_the_row_of_the_decoder_in_both_forms(real: TestClient, run_folder: Path) -> None:
    row = load_sae(run_folder / "saes" / "topk").export().state_dict()["W_dec"][3].numpy()
    (vector,) = real.get(f"{SAE}/latents/3/vector").json()["vectors"]
    assert vector["site"] == "resid_post.1"
    assert vector["values"] == pytest.approx(row, rel=1e-5, abs=1e-7)
    assert vector["norm"] == pytest.approx(np.linalg.norm(row), rel=1e-5)
    file = real.get(f"{SAE}/latents/3/vector", params={"format": "safetensors"})
    assert 'filename="topk-3.safetensors"' in file.headers["content-disposition"]
    assert load(file.content)["resid_post.1"] == pytest.approx(np.array(vector["values"]), rel=1e-6)


@pytest.mark.parametrize("path", ["vector", "trial?text=a", "judgements?part=x", "card", "chart"])
def test_a_latent_that_is_not_there_is_a_404_everywhere(real: TestClient, path: str) -> None:
    assert real.get(f"{SAE}/latents/67/{path}").status_code == 404


def test_related_latents_bring_their_words(real: TestClient, busiest: int) -> None:
    page = real.get(f"{SAE}/latents/{busiest}").json()
    related = [latent for group in page["related"] for latent in group["latents"]]
    assert related or page["why_no_relations"]
    for latent in related[:5]:
        assert latent["explanation"] == real.get(f"{SAE}/latents/{latent['index']}/card").json()["explanation"]
    assert page["fires_on"]


def test_an_sae_of_one_site_has_no_layers(real: TestClient) -> None:
    assert real.get(f"{SAE}/latents/0").json()["layers"] == []


def _judgement(latent: int, **given: Any) -> Judgement:
    usual: dict[str, Any] = {"told": "own", "told_of": latent, "question": 0, "kind": "decile", "decile": 9, "truth": 1.0}
    return Judgement(latent=latent, **usual | {"answer": 7.0, "says": True} | given)


@pytest.fixture(scope="module")
def judged_run(tmp_path_factory: pytest.TempPathFactory, run_folder: Path) -> Path:
    """A copy of the run, to be judged."""
    return Path(shutil.copytree(run_folder, tmp_path_factory.mktemp("judged") / "tiny"))


@pytest.fixture(scope="module")
def judged(judged_run: Path, busiest: int) -> list[dict[str, Any]]:
    """Judgements of one firing, of one silent place, of a sentence that was written, and one that failed."""
    client = TestClient(create_app([judged_run]), base_url="http://127.0.0.1")
    atlas = open_atlas(judged_run / "atlas")
    firing = atlas.latent("topk", busiest).top[0]
    kept = atlas.latents("topk").kept_codes()
    assert kept is not None
    fires = set(kept.of_latent(busiest).rows.tolist())
    row = next(row for row in range(kept.n_tokens) if row not in fires)
    silent = {"document": int(kept.document[row]), "position": int(kept.position[row])}
    at_firing = {"document": firing.document, "position": firing.position}
    written = '{"tokens": ["a", "b"], "values": [0.0, 2.0], "said": null}'
    rows = [
        _judgement(busiest, **at_firing, details='{"marked": [0]}'),
        _judgement(busiest, **silent, kind="silent", decile=None, truth=0.0),
        _judgement(busiest, kind="written", document=None, position=None, decile=None, details=written),
        _judgement(busiest, **at_firing, answer=None, says=None, failure="cut off"),
    ]
    explained = next(part for part in atlas.annotations("topk") if part.holds == "explanations")
    config = {"scorer": "llm_detection", "headline": "auroc", "definitions": {"auroc": "how well"}, "config": {}}
    path = judged_run / "atlas" / "annotations" / "topk" / "judged"
    scores = [Score(latent=busiest, name="auroc", value=0.75, low=0.5, high=0.9)]
    write_scores(path, scores, about=atlas.latents("topk"), explanations=explained, config=config, judgements=rows)
    page = client.get(f"{SAE}/latents/{busiest}").json()
    score = next(score for score in page["explanations"][0]["scores"] if score["part"] == "judged")
    assert (score["has_judgements"], score["low"], score["high"]) == (True, 0.5, 0.9)
    answer = client.get(f"{SAE}/latents/{busiest}/judgements", params={"part": "judged"}).json()
    assert (answer["total"], answer["scorer"], answer["explainer"]) == (4, "llm_detection", explained.label)
    return answer["judgements"]


def test_a_judgement_has_the_text_that_was_judged_and_what_the_latent_does_there(judged: list[dict[str, Any]]) -> None:
    firing, silent, written, failed = judged
    assert firing["values"][firing["peak"]] > 0
    assert len(firing["tokens"]) == len(firing["values"])
    assert firing["marked"] == [0]
    assert silent["values"][0] == 0
    assert written["tokens"] == ["a", "b"]
    assert failed["failure"] == "cut off"


def test_a_judgement_is_right_where_it_agrees_with_the_truth(judged: list[dict[str, Any]]) -> None:
    assert [one["is_right"] for one in judged] == [True, False, True, None]


def test_scores_that_are_not_there_are_a_404_with_a_suggestion(real: TestClient) -> None:
    answer = real.get(f"{SAE}/latents/0/judgements", params={"part": "detection.ofline"})
    assert answer.status_code == 404
    assert "detection.offline" in answer.json()["error"]


def test_layers_are_the_scanned_sites_of_one_sae_in_their_order() -> None:
    sites = {"m@b.2": "b.2", "m@a.10": "a.10", "other": "a.1"}

    def latents(key: str) -> Any:
        stats = SimpleNamespace(density=len(key) / 100, max=1.0, mean=0.5)
        return SimpleNamespace(n_latents=3, row=lambda _: {}, stats=lambda _: stats)

    class Files:
        def described(self, key: str) -> dict[str, Any]:
            return {"name": key.partition("@")[0], "part": None, "site": sites[key]}

        def keys_of(self, name: str) -> list[str]:
            return [key for key in sites if key.startswith(name)]

        def sae_paths(self) -> dict[str, Path]:
            return {"m": Path()}

        def sites_of(self, _name: str) -> Sequence[str]:
            return ["a.10", "b.2"]

    files: Any = Files()
    atlas: Any = SimpleNamespace(latents=latents)
    assert [(layer.key, layer.name) for layer in layers(files, atlas, "m@b.2", 2)] == [("m@a.10", "a.10"), ("m@b.2", "b.2")]
    assert layers(files, atlas, "m@b.2", 3) == []
    assert layers(files, atlas, "other", 0) == []


def test_roles_come_most_often_first() -> None:
    densities = {"user": np.array([0.1, 0.0]), "assistant": np.array([0.2, 0.0])}
    assert [one.role for one in role_densities(densities, 0)] == ["assistant", "user"]


def test_a_megabyte_of_explanation_is_cut() -> None:
    assert shortened("x" * 1_000_000, 4000) == "x" * 3999 + "…"
    assert shortened("short", 5) == "short"
