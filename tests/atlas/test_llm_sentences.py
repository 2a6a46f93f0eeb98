"""The sentence explainer: llama3_interpretability_sae's protocol, honest by default and as that pipeline does it when asked."""

import json
from pathlib import Path

import pytest
import torch
from atlas_fakes import SITE, WORDS, FakeSAE, FakeSource, make_block
from judge_fakes import FakeJudge

from monoseme.atlas import (
    EXPLAINERS,
    Atlas,
    PassOptions,
    Target,
    TextNames,
    explain_latents,
    open_atlas,
    scan,
    score_explanations,
)
from monoseme.atlas.explain._base import Explainer
from monoseme.atlas.sentences import rank_sentences
from monoseme.atlas.split import is_heldout
from monoseme.core.errors import ConfigError
from monoseme.judges import Desk

N = 60
SAID = {
    "key_words": ["cat"],
    "themes": ["animals"],
    "outliers": [],
    "reasoning": "all of them",
    "common_semantic": "a cat that sits",
    "certainty": 9,
}


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """Sixty sentences; latent 0 is stronger on each later one, 1 fires in two of them, 2 never."""
    x = torch.zeros(N, 3, 3)
    x[:, 1, 0] = torch.arange(N) + 1.0
    x[:2, 2, 1] = 100.0
    documents = torch.arange(N)[:, None].expand(N, 3)
    tokens = torch.tensor([[1, 7, 4]]).repeat(N, 1)
    source = FakeSource([make_block(tokens, documents, torch.arange(3).expand(N, 3), x)])
    options = PassOptions(gatherers=(rank_sentences(), rank_sentences(argmax_as_llama3=True)))
    folder = tmp_path_factory.mktemp("ranked") / "atlas"
    names = TextNames(texts=lambda ids: [WORDS[i] for i in ids])
    scan(source, [Target("topk", FakeSAE(3), (SITE,))], folder, names=names, options=options)
    return open_atlas(folder)


def _explainer(judge: FakeJudge, folder: Path, **settings: object) -> Explainer:
    kind = EXPLAINERS.get("llm_sentences")
    return kind(kind.Config(**settings), desk=Desk(judge, folder))


def test_sentences_that_explain_are_shown_numbered_the_best_last(ranked: Atlas, tmp_path: Path) -> None:
    judge = FakeJudge(lambda question: json.dumps(SAID))
    said = list(_explainer(judge, tmp_path, n_sentences=7).explain(ranked.evidence("topk"), [0, 1, 2]))
    explaining = [i for i in range(N) if not is_heldout(torch.tensor([i]).numpy())[0]][-7:]
    assert said[0].text == "a cat that sits"
    details = json.loads(said[0].details)
    assert details["shown"] == [[i, 0] for i in explaining]
    assert {name: details[name] for name in ("key_words", "themes", "outliers", "reasoning")} == {
        name: SAID[name] for name in ("key_words", "themes", "outliers", "reasoning")
    }
    assert details["certainty"] == 0.9
    assert "fewer than 5 sentences" in str(said[1].why_missing)
    assert "never fired" in str(said[2].why_missing)
    (question,) = judge.asked
    lines = question.messages[1].text.split("\n")
    assert (lines[0], lines[-1], len(lines)) == ("<sentences>", "</sentences>", 9)
    # no tag can stand inside: "<" is written as JSON allows
    assert lines[1] == '1. " the\\u003cscript> sat"'
    assert json.loads(lines[1][3:]) == " the<script> sat"


def test_as_llama3_shows_the_last_fifty_of_all_documents_and_is_not_scored(ranked: Atlas, tmp_path: Path) -> None:
    judge = FakeJudge(lambda question: json.dumps(SAID))
    explainer = _explainer(judge, tmp_path, as_llama3=True, aggregation="max")
    explain_latents(ranked, "topk", explainer=explainer, latents=[0, 1], label="peer")
    first, second = (ranked.latent("topk", latent).explanations[0] for latent in (0, 1))
    assert json.loads(first.details)["shown"] == [[i, 0] for i in range(10, 60)]
    assert "fewer than 50 sentences" in str(second.why_missing)
    with pytest.raises(ConfigError, match="held-out documents too"):
        score_explanations(ranked, "topk", explanations="peer")


@pytest.mark.parametrize(("field", "bad"), [("common_semantic", " "), ("certainty", 11), ("certainty", "high"), ("themes", "x")])
def test_an_answer_that_the_protocol_does_not_allow_is_a_failure(field: str, bad: object, ranked: Atlas, tmp_path: Path) -> None:
    judge = FakeJudge(lambda question: json.dumps(SAID | {field: bad}))
    (said,) = _explainer(judge, tmp_path).explain(ranked.evidence("topk"), [0])
    assert said.text is None
    assert "not what was asked for" in str(said.why_missing)


def test_an_atlas_without_sentences_says_how_to_get_them(planted: Atlas, tmp_path: Path) -> None:
    explainer = _explainer(FakeJudge(lambda question: ""), tmp_path)
    with pytest.raises(ConfigError, match="--sentences"):
        list(explainer.explain(planted.evidence("topk"), [0]))


@pytest.mark.parametrize("bad", [{"fewest_sentences": 0}, {"n_sentences": 4}, {"as_llama3": True, "n_sentences": 9}])
def test_settings_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        EXPLAINERS.get("llm_sentences").Config(**bad)
