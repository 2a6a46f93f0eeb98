"""Texts of every kind, what the atlas knows of latents, and what is kept of what was asked."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from monoseme.saes import NormaliseConfig
from monoseme.saes.topk import TopK
from monoseme.web.prompt import _reading
from monoseme.web.prompt._known import KnownLatents
from monoseme.web.prompt._views import unit_of
from monoseme.web.recent import Recent

from .prompt_run import PromptRun

VIEWS = ("", "/layers", "/layers/table?position=1", "/time", "/logits")


@pytest.fixture(scope="module")
def run(prompt_run: PromptRun) -> PromptRun:
    return prompt_run


@pytest.mark.parametrize("view", ["", "/layers", "/time", "/logits"])
@pytest.mark.parametrize(
    "text",
    ["<b>cat</b>", "\x00\x07\x1b[31m", "\u202eright to left\u2066", "🐈‍⬛ é \ud7a3", "\n\n\t ", "<s>cat", "a" * 8000],
    ids=["markup", "controls", "bidi", "joined", "blank", "special", "long"],
)
def test_every_text_is_read_or_refused_with_a_reason(run: PromptRun, view: str, text: str) -> None:
    answer = run.refused("mlsae", view, text=text)
    assert answer.status_code == 200, answer.text
    if not view:
        tokens = answer.json()["tokens"]
        assert all(len(token["text"]) <= 40 for token in tokens)
        assert len(tokens) <= 64  # what the tiny model reads
        assert bool(answer.json()["truncated"]) == (len(text) == 8000)


@pytest.mark.parametrize("view", ["", "/layers", "/time", "/logits"])
def test_a_text_of_special_tokens_alone_is_refused(run: PromptRun, view: str) -> None:
    answer = run.refused("mlsae", view, text="<s>")
    assert answer.status_code == 422
    assert "no token" in answer.json()["error"]
    assert answer.json()["hint"]


@pytest.mark.parametrize("text", ["", "a" * 8001])
def test_texts_have_a_length(run: PromptRun, text: str) -> None:
    assert run.refused("mlsae", "", text=text).status_code == 422


def test_tokens_hold_their_latents_strongest_first(run: PromptRun) -> None:
    answer = run.ask("tfa")  # whose codes may be negative
    for token in answer["tokens"]:
        sizes = [abs(firing["value"]) for firing in token["firings"]]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) == token["n_firings"]
    seen: dict[int, list[tuple[int, float]]] = {}
    for at, token in enumerate(answer["tokens"]):
        for firing in token["firings"]:
            seen.setdefault(firing["latent"], []).append((at, firing["value"]))
    assert answer["n_latents_fired"] == len(answer["latents"]) == len(seen)
    for latent in answer["latents"]:
        peak, value = max(seen[latent["index"]], key=lambda found: (abs(found[1]), -found[0]))
        assert (latent["peak"], latent["max"], latent["n_tokens"]) == (peak, value, len(seen[latent["index"]]))


def test_dense_codes_are_cut_to_the_strongest_of_each_token_and_counted_whole(
    run: PromptRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run.ask("topk")
    monkeypatch.setattr(_reading, "MAX_FIRINGS", 2 * len(whole["tokens"]))
    cut = run.ask("topk")
    assert "2 strongest" in cut["truncated"]
    for token, full in zip(cut["tokens"], whole["tokens"], strict=True):
        assert token["firings"] == full["firings"][:2]
        assert token["n_firings"] == full["n_firings"]
    assert cut["n_latents_fired"] == whole["n_latents_fired"]
    # Of the latents that are left, what is told of the whole text stays.
    named = {firing["latent"] for token in cut["tokens"] for firing in token["firings"]}
    assert cut["latents"] == [latent for latent in whole["latents"] if latent["index"] in named]
    assert 0 < len(named) < len(whole["latents"])


def test_a_page_is_told_which_views_there_are(run: PromptRun) -> None:
    views = {name: run.ask(name)["views"] for name in run.saes}
    assert {name: len(view["layers"]) for name, view in views.items()} == {
        "topk": 0, "mlsae": 3, "tsae": 0, "tfa": 0, "crosscoder": 0
    }  # fmt: skip
    assert {name: view["parts"] for name, view in views.items() if view["parts"]} == {
        "tsae": ["high", "low"],
        "tfa": ["predicted", "novel"],
    }
    assert len(views["crosscoder"]["logit_sites"]) == 2
    assert (views["mlsae"]["unit"], views["topk"]["unit"]) == ("standardised", "activation")
    assert {view["key"] for view in views.values()} == {None}


@pytest.mark.parametrize(
    ("kind", "unit"), [("standardise", "standardised"), ("vector_norm", "root_mean_square"), ("none", "activation")]
)
def test_codes_of_each_vector_by_itself_have_the_unit_that_it_was_divided_by(kind: Any, unit: str) -> None:
    config = TopK.Config(d_in=7, n_latents=11, k=2, sites=("resid_post.1",), normalise=NormaliseConfig(kind=kind))
    assert unit_of(TopK(config)) == unit


def test_what_was_scanned_names_and_explains_latents(real: TestClient) -> None:
    home = "/api/runs/tiny/saes/topk"
    text = {"text": "Once upon a time there was a little dog."}
    assert real.get(f"{home}/prompt", params=text).json()["views"]["key"] == "topk"
    rows = real.get(f"{home}/prompt/time", params=text).json()["rows"]
    assert all(row["key"] == "topk" for row in rows)
    latent = real.get(f"{home}/latents/{rows[0]['latent']}").json()
    assert rows[0]["density"] == latent["density"]
    logits = real.get(f"{home}/prompt/logits", params={**text, "latent": latent["index"], "unit": "max"}).json()
    assert logits["maximum"] == latent["max"]
    assert logits["steered"]["top"]


def _known(name: str, part: str | None, *scanned: tuple[str, str | None, str]) -> KnownLatents:
    described = {key: {"name": name, "part": part, "site": site} for key, part, site in scanned}
    described["other"] = {"name": "other", "part": None, "site": "resid_post.1"}
    files = SimpleNamespace(scanned=lambda: described, described=described.__getitem__)
    return KnownLatents(cast(Any, files), cast(Any, SimpleNamespace(name=name, part=part)))


def test_latents_are_those_of_the_part_and_site_that_was_scanned() -> None:
    mlsae = _known("mlsae", None, ("mlsae@resid_post.0", None, "resid_post.0"), ("mlsae@resid_post.1", None, "resid_post.1"))
    assert mlsae.shown_key("resid_post.1") == "mlsae@resid_post.1"
    assert mlsae.key(site="resid_post.2") is None
    tfa = _known("tfa", None, ("tfa.novel", "novel", "resid_post.1"))
    assert tfa.part_key("novel", site="resid_post.1") == "tfa.novel"
    # The whole code and the predicted part are other codes than the one that was scanned.
    assert tfa.shown_key("resid_post.1") is None
    assert tfa.part_key("predicted", site="resid_post.1") is None
    tsae = _known("tsae", None, ("tsae", None, "resid_post.1"))
    assert tsae.part_key("high", site="resid_post.1") == "tsae"


def test_only_the_last_few_results_are_kept() -> None:
    made: list[str] = []

    async def asked(*questions: str) -> None:
        recent: Recent[str, str] = Recent(2)
        for question in questions:

            async def work(question: str = question) -> str:
                made.append(question)
                return question

            assert await recent.awaited(question, work) == question

    asyncio.run(asked("a", "b", "a", "c", "a", "b"))
    assert made == ["a", "b", "c", "b"]


def test_what_fails_is_not_kept() -> None:
    recent: Recent[str, int] = Recent(2)

    async def fails() -> int:
        raise ValueError("once")

    async def works() -> int:
        return 3

    async def asked() -> int:
        with pytest.raises(ValueError, match="once"):
            await recent.awaited("a", fails)
        return await recent.awaited("a", works)

    assert asyncio.run(asked()) == 3
