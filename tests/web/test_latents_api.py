"""The table of latents as JSON: any column sorts, statements and searches filter, plots get whole columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from monoseme.atlas import open_atlas
from monoseme.atlas.search import find_phrase, latents_there
from monoseme.web.latents import LatentQuery
from monoseme.web.latents._found import found_by_score
from monoseme.web.latents._query import LatentFilter
from monoseme.web.latents._said import Said
from monoseme.web.latents._table import COLUMNS, LatentsTable
from monoseme.web.run_files import BadRequestError, UnavailableError

TABLE = "/api/runs/tiny/saes/topk/latents"
N = 67


def _rows(real: TestClient, **query: Any) -> list[dict[str, Any]]:
    answer = real.get(TABLE, params={"limit": 500, **query})
    assert answer.status_code == 200, answer.json()
    return answer.json()["rows"]


def test_every_column_that_is_told_can_be_shown_and_sorted_by(real: TestClient) -> None:
    told = real.get(f"{TABLE}/columns").json()
    names = [column["name"] for column in told["columns"]]
    assert {"n_fired", "mean", "detection_balanced_accuracy"} <= set(names)
    assert all(column["definition"] for column in told["columns"])
    assert told["roles"] == []
    for name in names:
        values = [row["more"][name] for row in _rows(real, sort=name, show=name)]
        known = [value for value in values if value is not None]
        assert known == sorted(known)
        assert values[len(known) :] == [None] * (N - len(known))


def test_dead_latents_are_counted_over_tokens_that_are_told(real: TestClient, run_folder: Path) -> None:
    page, latents = real.get(TABLE).json(), open_atlas(run_folder / "atlas").latents("topk")
    assert page["n_tokens"] == latents.n_tokens > 0
    assert page["n_dead"] == real.get(TABLE, params={"state": "dead"}).json()["total"]


def test_a_statement_means_what_it_means_in_search(real: TestClient, run_folder: Path) -> None:
    statements = (
        "density < 0.2 and max > 1",
        "not is_dead = true",
        'explanation ~ "dog" or n_fired >= 100',
        "detection_auroc is missing",
    )
    for statement in statements:
        found = open_atlas(run_folder / "atlas").table("topk", where=statement, limit=N)
        assert 0 < found.n_matching < N
        assert [row["index"] for row in _rows(real, where=statement)] == [row["latent"] for row in found.rows]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"where": "densty < 1"}, 'Did you mean "density"?'),
        ({"where": "density <"}, "a number"),
        ({"sort": "nothing"}, "sort: latents have no column"),
        ({"show": "mean,nothing"}, "show: latents have no column"),
        ({"role": "user"}, "role: latents have no column"),
        ({"only": "1,x"}, "only"),
        ({"by": "sound"}, "by"),
        ({"by": "text", "q": "x" * 1001}, "q"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_can(real: TestClient, query: dict[str, str], said: str) -> None:
    answer = real.get(TABLE, params=query)
    assert answer.status_code == 422
    assert said in f"{answer.json()['error']} {answer.json()['hint']}"


def test_columns_for_plots_are_those_of_the_rows(real: TestClient) -> None:
    body = real.get(f"{TABLE}/values", params={"columns": "density,max,n_fired"})
    assert body.headers["content-type"] == "application/octet-stream"
    values = np.frombuffer(body.content, "<f4").reshape(3, N)
    rows = _rows(real, show="n_fired")
    wanted = [(row["density"], np.nan if row["max"] is None else row["max"], row["more"]["n_fired"]) for row in rows]
    np.testing.assert_allclose(values.T, np.array(wanted), rtol=1e-6)
    for refused in ("explanation", ",".join(["density"] * 9)):
        assert real.get(f"{TABLE}/values", params={"columns": refused}).status_code == 422


def test_the_bits_of_what_passes_are_those_of_the_page(real: TestClient) -> None:
    query = {"density_min": 0.01, "max_min": 1, "where": "n_fired > 30", "state": "alive"}
    bits = np.frombuffer(real.get(f"{TABLE}/passing", params=query).content, np.uint8)
    passing = np.nonzero(np.unpackbits(bits, bitorder="little", count=N))[0]
    assert 0 < len(passing) < N
    assert passing.tolist() == [row["index"] for row in _rows(real, **query)]
    assert [row["index"] for row in _rows(real, only="3,5,66,999")] == [3, 5, 66]


def test_a_phrase_finds_the_latents_that_fire_on_it(real: TestClient, run_folder: Path) -> None:
    atlas = open_atlas(run_folder / "atlas")
    there = latents_there(atlas.latents("topk"), atlas.text, find_phrase(atlas.text, "little dog"), n=N)
    answer = real.get(TABLE, params={"q": "little dog", "by": "text", "sort": "relevance", "order": "descending", "limit": 500})
    table = answer.json()
    assert table["search"]["n_matches"] == there.n_matches > 0
    assert [row["index"] for row in table["rows"]] == [one.latent for one in there.latents]
    for row, one in zip(table["rows"], there.latents, strict=True):
        assert row["more"] == {"fires_there": one.share, "max_there": one.mean_max, "examples_there": one.n_examples}
    few = {"q": "little dog", "by": "text", "density_max": 0.1}
    assert all(row["density"] <= 0.1 and row["more"] for row in _rows(real, **few))
    assert _rows(real, q="in no text at all", by="text") == []


def test_words_rank_the_explanations_that_hold_them(real: TestClient) -> None:
    every = {row["index"]: row["explanation"] or "" for row in _rows(real)}
    rows = _rows(real, q="dog", by="words", sort="relevance", order="descending")
    assert {row["index"] for row in rows} == {index for index, text in every.items() if "dog" in text}
    ranks = [row["more"]["relevance"] for row in rows]
    assert ranks == sorted(ranks, reverse=True)
    assert _rows(real, q="zeppelin", by="words") == []


def test_meaning_needs_a_model_of_sentences_and_says_so(real: TestClient) -> None:
    assert "embedding" in real.get(f"{TABLE}/columns").json()["why_no_meaning"]
    answer = real.get(TABLE, params={"q": "animals", "by": "meaning"})
    assert answer.status_code == 409
    assert "scorer embedding" in answer.json()["error"]


class _Annotation:
    """Scores by a model of sentences, as far as a search looks at them."""

    holds = "scores"

    def __init__(self, folder: Path) -> None:
        self.artifact = self
        self.config = {"scorer": "embedding", "config": {"model": str(folder)}}


def test_meaning_ranks_by_the_vectors_of_the_model_that_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Letters:
        """Texts as counts of three letters."""

        def __init__(self, folder: Path, *, batch_size: int) -> None:
            assert folder == tmp_path

        def vectors(self, texts: list[str]) -> np.ndarray:
            counts = np.array([[text.count(letter) for letter in "abc"] for text in texts], dtype=float)
            return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    monkeypatch.setattr("monoseme.atlas.sentence_model.SentenceModel", Letters)
    said = Said(_table(explanation=["aab", None, "ccc", "abb", "b"]), [_Annotation(tmp_path)])  # pyright: ignore[reportArgumentType]
    assert said.why_no_meaning is None
    found = said.find(LatentFilter(q="a", by="meaning"))
    assert found.latents.tolist() == [0, 3, 2, 4]
    assert found.values["nearness"][0] == pytest.approx(2 / np.sqrt(5))
    gone = Said(_table(explanation=["a"]), [_Annotation(tmp_path / "gone")])  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnavailableError, match="not at gone any more"):
        gone.find(LatentFilter(q="a", by="meaning"))


def _table(**columns: list[Any]) -> LatentsTable:
    n = len(next(iter(columns.values())))
    made = {"index": np.arange(n), "density": [0.1] * n, "max": [1.0] * n, "explanation": [None] * n, "score": [None] * n}
    made |= {"top_tokens": [[" a"]] * n}
    return LatentsTable(pa.table({name: pa.array(values) for name, values in (made | columns).items()}), sae="topk")


def test_a_score_from_little_does_not_come_first() -> None:
    table = _table(score=[0.99, 0.9, 0.8, None, 0.95], score_low=[0.6, 0.85, 0.75, None, None], score_n=[4, 60, 50, None, 3])
    query = LatentQuery(sort="score_low", order="descending")
    assert [row.index for row in table.page(query).rows] == [1, 2, 0, 4, 3]
    first = table.page(query).rows[0]
    assert (first.score, first.score_low, first.score_n) == (0.9, 0.85, 60)
    assert [row.index for row in _table(score=[0.2, 0.9]).page(query).rows] == [1, 0]  # no errors: the scores themselves
    unscored = _table(max=[1.0, 3.0, 2.0]).page(query)
    assert ([row.index for row in unscored.rows], unscored.score_name) == ([1, 2, 0], "")


def test_the_lower_end_is_that_of_the_first_score(real: TestClient, run_folder: Path) -> None:
    rows = _rows(real, sort="score_low", order="descending")
    ends = [row["score_low"] for row in rows if row["score_low"] is not None]
    assert ends == sorted(ends, reverse=True)
    assert ends
    assert all(row["score_n"] >= 4 for row in rows if row["score"] is not None)
    page = open_atlas(run_folder / "atlas").table("topk", sort="detection_balanced_accuracy_low", descending=True, limit=N)
    assert [row["latent"] for row in page.rows][: len(ends)] == [row["index"] for row in rows][: len(ends)]
    assert [row["detection_balanced_accuracy_low"] for row in page.rows][: len(ends)] == pytest.approx(ends)


def test_a_role_takes_the_place_of_all_tokens() -> None:
    table = _table(density=[0.5, 0.4, 0.0], density_user=[0.0, 0.7, 0.0], density_assistant=[0.9, 0.1, 0.0])
    assert table.columns().roles == ["user", "assistant"]
    page = table.page(LatentQuery(role="user", sort="density", order="descending"))
    assert [(row.index, row.density) for row in page.rows] == [(1, 0.7), (0, 0.0), (2, 0.0)]
    assert table.passing(LatentFilter(role="assistant", density_min=0.5)).tolist() == [True, False, False]
    with pytest.raises(BadRequestError, match="density_system"):
        table.page(LatentQuery(role="system"))


def test_a_search_that_ranks_is_filtered_and_its_order_turned() -> None:
    table = _table(density=[0.5, 0.4, 0.0, 0.2])
    found = found_by_score(np.array([1.0, 3.0, 0.0, 2.0]), np.arange(4), by_meaning=False, most=9)
    query = LatentQuery(q="x", by="words", sort="relevance", order="descending")

    def shown(**changes: Any) -> list[int]:
        return [row.index for row in table.page(query.model_copy(update=changes), found).rows]

    assert shown() == [1, 3, 0]
    assert shown(order="ascending") == [0, 3, 1]
    assert shown(density_max=0.4) == [1, 3]
    assert shown(sort="density", order="ascending") == [3, 1, 0]
    assert shown(offset=1, limit=1) == [3]
    assert table.page(query, found).total == 3


def test_megabytes_in_an_explanation_or_a_token_are_cut_in_a_row() -> None:
    table = _table(explanation=["x" * 3_000_000], top_tokens=[["y" * 100_000] * 9])
    row = table.page(LatentQuery()).rows[0]
    assert row.explanation == "x" * 599 + "…"
    assert [len(token) for token in row.top_tokens] == [80] * 6
    assert table.page(LatentQuery(q="x" * 1000)).total == 1


def test_a_table_keeps_few_orders_and_answers_each_alike() -> None:
    table = _table(density=list(np.linspace(0.01, 1, 50)))
    for bound in np.linspace(0, 1, 60):
        page = table.page(LatentQuery(density_min=float(bound), sort="density", order="descending"))
        assert page.total == int((np.linspace(0.01, 1, 50) >= bound).sum())
    assert set(COLUMNS.names) == {"index", "density", "max", "explanation", "score", "top_tokens"}
