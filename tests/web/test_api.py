"""The read API over a made-up run: addresses, filters, pages of the table, errors."""

import pytest
from starlette.testclient import TestClient

from monoseme.core.errors import ArtifactDamagedError
from monoseme.web._app import app_over
from monoseme.web._library import run_ids
from monoseme.web.overview.answers import RunSummary

from .fake_run import DEAD, HOSTILE, HOSTILE_LATENT, N_LATENTS, NO_LOGITS, UNEXPLAINED, FakeRun

LATENTS = "/api/runs/demo/saes/topk/latents"


def test_pages_of_the_table_hold_every_latent_once(client: TestClient) -> None:
    seen = []
    for offset in range(0, N_LATENTS, 101):
        page = client.get(LATENTS, params={"sort": "density", "offset": offset, "limit": 101}).json()
        assert page["total"] == page["n_latents"] == N_LATENTS
        seen += [row["index"] for row in page["rows"]]
    assert sorted(seen) == list(range(N_LATENTS))


@pytest.mark.parametrize("sort", ["index", "density", "max", "score", "explanation"])
@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_rows_are_sorted_with_missing_values_last(client: TestClient, sort: str, order: str) -> None:
    rows = client.get(LATENTS, params={"sort": sort, "order": order, "limit": 500}).json()["rows"]
    rows += client.get(LATENTS, params={"sort": sort, "order": order, "limit": 500, "offset": 500}).json()["rows"]
    values = [row[sort] for row in rows]
    known = [value.lower() if isinstance(value, str) else value for value in values if value is not None]
    assert known == sorted(known, reverse=order == "descending")
    assert values[len(known) :] == [None] * (len(values) - len(known))


def test_search_finds_explanations_top_tokens_and_numbers_whatever_the_case(client: TestClient) -> None:
    found = client.get(LATENTS, params={"q": "LILY", "limit": 500}).json()["rows"]
    assert found
    assert all("lily" in f"{row['explanation']} {row['top_tokens']}".lower() for row in found)
    assert 42 in [row["index"] for row in client.get(LATENTS, params={"q": "42", "limit": 500}).json()["rows"]]


@pytest.mark.parametrize("text", ["'; DROP TABLE latents; --", "%", "_", "\\", '"', "\n", "\x00"])
def test_what_is_searched_for_is_text_and_not_a_pattern_or_sql(client: TestClient, text: str) -> None:
    answer = client.get(LATENTS, params={"q": text})
    assert answer.status_code == 200
    assert client.get(LATENTS).json()["total"] == N_LATENTS


@pytest.mark.parametrize(
    ("state", "expected"), [("all", N_LATENTS), ("alive", N_LATENTS - 1), ("dead", 1), ("explained", N_LATENTS - 2)]
)
def test_states_of_latents_are_filters(client: TestClient, state: str, expected: int) -> None:
    assert client.get(LATENTS, params={"state": state}).json()["total"] == expected


def test_bounds_filter_by_density_and_score(client: TestClient) -> None:
    rows = client.get(LATENTS, params={"density_min": 0.01, "density_max": 0.1, "score_min": 0.8, "limit": 500}).json()["rows"]
    assert rows
    assert all(0.01 <= row["density"] <= 0.1 and row["score"] >= 0.8 for row in rows)


@pytest.mark.parametrize(
    "query",
    [
        "sort=nothing",
        "order=up",
        "limit=0",
        "limit=501",
        "offset=-1",
        "density_min=2",
        "density_min=x",
        "shape=round",
        "state=odd",
    ],
)
def test_a_bad_query_is_refused_with_the_parameters_name(client: TestClient, query: str) -> None:
    answer = client.get(f"{LATENTS}?{query}")
    assert answer.status_code == 422
    assert query.split("=")[0] in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/nothing",
        "/api/runs/demo/charts/nothing",
        "/api/runs/demo/saes/nothing/latents",
        f"{LATENTS}/{N_LATENTS}",
        "/api/nothing",
        "/assets/nothing.js",
        "/assets/%2e%2e/_app.py",
    ],
)
def test_what_does_not_exist_is_a_404_that_says_so(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == {"error", "hint"}


@pytest.mark.parametrize("index", ["-1", "x", "1.5", "99999999999999"])
def test_what_cannot_be_a_latent_is_refused(client: TestClient, index: str) -> None:
    assert client.get(f"{LATENTS}/{index}").status_code == 422


def test_a_run_is_suggested_for_a_misspelt_one(client: TestClient) -> None:
    assert 'Did you mean "demo"?' in client.get("/api/runs/demmo").json()["error"]


def test_hostile_text_comes_back_as_it_is(client: TestClient) -> None:
    latent = client.get(f"{LATENTS}/{HOSTILE_LATENT}")
    assert latent.headers["content-type"] == "application/json"
    assert latent.json()["explanations"][0]["text"] == HOSTILE
    assert latent.json()["groups"][0]["examples"][0]["tokens"][3] == HOSTILE


def test_neighbours_end_at_the_ends(client: TestClient) -> None:
    assert client.get(f"{LATENTS}/0").json()["previous"] is None
    assert client.get(f"{LATENTS}/1").json()["previous"] == 0
    assert client.get(f"{LATENTS}/{N_LATENTS - 1}").json()["next"] is None


def test_a_dead_latent_has_a_reason_and_no_numbers(client: TestClient) -> None:
    latent = client.get(f"{LATENTS}/{DEAD}").json()
    assert latent["max"] is None
    assert latent["groups"] == []
    assert "never fired" in latent["why_missing"]


def test_missing_logits_and_explanations_are_told(client: TestClient) -> None:
    assert client.get(f"{LATENTS}/{NO_LOGITS}").json()["why_no_logits"]
    assert client.get(f"{LATENTS}/{UNEXPLAINED}").json()["explanations"] == []


def test_a_random_latent_is_never_dead(client: TestClient) -> None:
    drawn = {client.get("/api/runs/demo/saes/topk/random").json()["index"] for _ in range(12)}
    assert len(drawn) > 1
    assert DEAD not in drawn


def test_a_prompt_needs_text_and_has_a_longest_length(client: TestClient) -> None:
    prompt = "/api/runs/demo/saes/topk/prompt"
    assert client.get(prompt, params={"text": "the dog"}).json()["text"] == "the dog"
    assert client.get(prompt).status_code == 422
    assert client.get(prompt, params={"text": "x" * 8001}).status_code == 422


def test_an_absent_model_is_a_409_with_what_to_do() -> None:
    client = TestClient(app_over([FakeRun(with_model=False)]), base_url="http://127.0.0.1")
    answer = client.get("/api/runs/demo/saes/topk/prompt", params={"text": "hello"})
    assert answer.status_code == 409
    assert answer.json()["hint"]


@pytest.mark.parametrize("path", ["/", "/runs/demo", "/runs/demo/saes/topk/latents/3", "/runs/demo/saes/topk/prompt?text=a"])
def test_every_page_address_opens_the_front_end(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "/js/app.js" in answer.text


def test_the_front_end_asks_no_other_host_for_anything(client: TestClient) -> None:
    from monoseme.web._static import STATIC

    for path in STATIC.rglob("*.*"):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path
        assert "innerHTML" not in text, path


def test_the_chart_library_is_one_script_that_is_kept(client: TestClient) -> None:
    answer = client.get("/assets/vega.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "vegaEmbed" in answer.text
    again = client.get("/assets/vega.js", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_a_damaged_run_says_so_and_hides_no_other() -> None:
    class Damaged(FakeRun):
        def summary(self) -> RunSummary:
            raise ArtifactDamagedError("run.json is cut short")

    with TestClient(app_over([FakeRun("demo"), Damaged("broken")]), base_url="http://127.0.0.1:8321") as client:
        lines = client.get("/api/runs").json()
    assert [(line["id"], line["problem"]) for line in lines] == [("demo", ""), ("broken", "run.json is cut short")]


def test_ids_of_runs_are_safe_and_distinct() -> None:
    assert run_ids(["demo", "my run/ü", "demo", "..", "demo"]) == ["demo", "my-run", "demo-2", "run", "demo-3"]
