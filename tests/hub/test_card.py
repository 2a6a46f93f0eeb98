"""The card tells what is known, and shows text of models and corpora letter by letter."""

from dataclasses import replace
from html import unescape
from pathlib import Path

import markdown_it
import pytest
import yaml

from monoseme.atlas.said import Score
from monoseme.atlas.score_summary import CONTROLS, MeanScore, ScoreSummary
from monoseme.evaluation import EvalResult, Metric
from monoseme.hub import PushConfig, card
from monoseme.hub._card import CardFacts, CardSae, card_text, hub_name
from monoseme.hub._repos import Repo
from monoseme.hub._text import shown
from monoseme.pipeline import RunFolder
from monoseme.reports import LatentSample, RunReport, SaeReport, TokenExample

EVIL = (
    "<script>alert(1)</script> | <img src=x onerror=alert(2)> ![x](http://evil/x.png) [click](javascript:alert(3)) "
    "`code` **bold** $x^2$ https://evil.example www.evil.example a@evil.example :skull: "
    "\n---\n# Title\n- item &lt;b&gt;\u202e\x07 ~~x~~"
)


def _rendered(text: str) -> str:
    """As a site that allows HTML would show it: nothing is taken out that the card lets through."""
    return markdown_it.MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)


@pytest.mark.parametrize("text", [EVIL, "|" * 5, "***", "\\*", "<!-- ", "&amp;", "]( ", "{{x}}", "\u2028x"])
def test_text_is_shown_letter_by_letter(text: str) -> None:
    html = _rendered(f"x {shown(text, most=1000)} y")
    assert html.startswith("<p>x ")
    assert html.count("<") == 2, "one paragraph and nothing else"
    plain = "".join("\ufffd" if c in "\u202e\x07" else " " if c in "\n\u2028" else c for c in text)
    assert unescape(html) == f"<p>x {plain} y</p>\n"


def test_long_text_is_cut() -> None:
    assert shown("a" * 300) == "a" * 239 + "…"


def _facts(report: RunReport | None, **more: object) -> CardFacts:
    config = {
        "architecture": "topk",
        "d_in": 7,
        "n_latents": 5,
        "k": 2,
        "site": "resid_post.1",
        "seed": 3,
        "tokens_trained": 4096,
    }
    saes = (CardSae("topk", "saes/topk", config, "sha256:ab", 1234),)
    return CardFacts(repo=Repo("me", "tiny"), saes=saes, report=report, explanations=("offline",), **more)  # pyright: ignore


def _report() -> RunReport:
    def score(name: str, value: float) -> Score:
        return Score(latent=1, name=name, value=value, low=value - 0.1, high=value + 0.1, n=12)

    sample = LatentSample(
        latent=1,
        explanation=EVIL,
        score=score("balanced_accuracy", 0.8),
        controls=(score("balanced_accuracy_other", 0.51), score("balanced_accuracy_empty", 0.5)),
        examples=(TokenExample(tokens=(" <b>", "</td>|", "\n"), values=(0.0, 2.0, 0.0)),),
    )
    said = {"unit": "fraction", "better": "lower", "n": 4000, "n_documents": 31, "definition": "What | it <is>."}
    known = Metric(name="fvu", value=0.25, standard_error=0.01, **said)  # pyright: ignore
    missing = Metric(name="kl", value=None, why_missing="no model | was given", **said)  # pyright: ignore
    result = EvalResult(evaluation="fidelity", subject="topk", metrics=(known, missing), tables={}, facts={})
    return RunReport(title="x", saes=(SaeReport(name="topk", architecture="topk", results=(result,), samples=(sample,)),))


def test_a_latents_explanation_cannot_break_the_card() -> None:
    text = card_text(_facts(_report()))
    html = _rendered(text.split("---\n", 2)[2])
    assert not [
        evil for evil in ("<script", "<img src=x", 'javascript:alert(3)"', "<h1>Title", '<a href="http://evil') if evil in html
    ]
    rows = [line for line in text.splitlines() if line.startswith("| 1 |")]
    assert [row.count(" | ") for row in rows] == [5]
    assert "| 0.800 &#91;0.700, 0.900&#93;, n = 12 | 0.510 | 0.500 |" in rows[0]
    assert "<b>&#60;/td&#62;&#124;</b>" in rows[0]


def test_metrics_have_intervals_and_missing_ones_their_reason() -> None:
    text = card_text(_facts(_report()))
    assert "| `fvu` ↓ | fraction | 0.25 &#91;0.2304, 0.2696&#93; |" in text
    assert "missing: no model &#124; was given" in text


def test_the_head_is_yaml_of_what_is_known_and_nothing_is_invented() -> None:
    bare = card_text(_facts(None))
    head = yaml.safe_load(bare.split("---\n")[1])
    assert head == {"library_name": "monoseme", "tags": ["sparse-autoencoder", "interpretability", "monoseme", "topk"]}
    assert "Licence: not stated." in bare
    full = card_text(_facts(None, licence="mit", base_model="a/b", dataset="c/d", revision="v1", format="saelens"))
    head = yaml.safe_load(full.split("---\n")[1])
    assert (head["license"], head["base_model"], head["datasets"], head["library_name"]) == ("mit", "a/b", ["c/d"], "saelens")


def test_the_card_says_how_each_is_opened() -> None:
    text = card_text(_facts(None, revision="v1", atlas=Repo("me", "tiny-atlas", "dataset")))
    assert "monoseme pull me/tiny@v1 --out tiny\n" in text
    assert 'pull("me/tiny", revision="v1", out="tiny")' in text
    assert "activations at resid_post.1" in text
    assert "x&#95;hat &#61; f W&#95;dec" in text or "x&#95;hat = f W&#95;dec" in text, "the formula of its class"


def test_a_folder_or_file_is_no_name_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "pythia").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert [hub_name(name) for name in ("models/pythia", "/a/b", "../a", "bundled", "x.jsonl", None, "a/b/c")] == [None] * 7
    assert [hub_name(name) for name in ("gpt2", "EleutherAI/pythia-70m")] == ["gpt2", "EleutherAI/pythia-70m"]


def test_the_card_has_small_pictures(made: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoseme.hub._push._PICTURES", ("training_fvu",))  # drawing one takes as long as all other tests
    found = card(made.path, "me/tiny", PushConfig(explanations="none"))
    assert list(found.figures) == ["figures/training_fvu.png"]
    for name, picture in found.figures.items():
        assert f"]({name})" in found.text
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 300_000


def _measured(**more: object) -> str:
    said = {"name": "fvu", "value": 0.25, "unit": "a|b <i>", "better": "higher", "n": 4000, "n_documents": 31, "definition": EVIL}
    result = EvalResult(evaluation="x", subject="topk", metrics=(Metric(**{**said, **more}),), tables={}, facts={})  # pyright: ignore
    return card_text(_facts(RunReport(title="x", saes=(SaeReport(name="topk", architecture="topk", results=(result,)),))))


def test_units_and_definitions_of_metrics_cannot_break_the_card() -> None:
    html = _rendered(_measured().split("---\n", 2)[2])
    assert "| `fvu` ↑ | a&#124;b &#60;i&#62; | 0.25 |" in _measured()
    assert not [evil for evil in ("<script", "<img src=x", "<i>", "<h1>Title", '<a href="http://evil') if evil in html]


def test_a_number_without_spread_has_no_interval_and_says_what_it_was_measured_on() -> None:
    assert "| 0.25 |" in _measured(standard_error=0.0)
    assert "| 0.25 |" in _measured(standard_error=None)
    assert "(4,000 tokens of 31 documents for the first of them)" in _measured()


def test_only_tokens_on_which_it_fires_are_bold() -> None:
    (row,) = (line for line in card_text(_facts(_report())).splitlines() if line.startswith("| 1 |"))
    assert row.endswith("|  &#60;b&#62;<b>&#60;/td&#62;&#124;</b>  |")


def test_how_it_was_trained_is_told() -> None:
    rows = ({"step": 1, "lr": 0.004}, {"step": 1500, "lr": 0.01}, {"step": 2000, "lr": 0.002})
    settings = {
        "train": {"lr": None, "batch_size": 1024, "optimiser": "adam"},
        "corpus": {"holdout_fraction": 0.1, "context_len": 128},
    }
    text = card_text(replace(_facts(replace(_report(), training=rows)), settings=settings))
    assert "| learning rate | the architecture's own, at most 0.01 |" in text
    assert "| steps | 2,000 |" in text
    assert "| held out of training | 10% of the sources |" in text
    assert "| batch (tokens) | 1,024 |" in text
    assert "| `topk` | `saes/topk` | `sha256:ab` |" in text
    assert "| learning rate | 0.003 |" in card_text(_facts(None, settings={"train": {"lr": 0.003}}))


def test_inputs_that_are_scaled_are_told() -> None:
    facts = _facts(None)
    scaled = facts.saes[0]._replace(config={**facts.saes[0].config, "normalise": {"kind": "layer_norm"}})
    said = "Except `topk`, whose inputs are scaled one by one"
    assert said in card_text(replace(facts, saes=(scaled,)))
    assert said not in card_text(facts)


def test_a_site_cannot_leave_the_block_of_code() -> None:
    facts = _facts(None)
    evil = facts.saes[0]._replace(config={**facts.saes[0].config, "site": "a\n```\n<script>alert(1)</script>\n"})
    assert "<script" not in _rendered(card_text(replace(facts, saes=(evil,))).split("---\n", 2)[2])


def test_the_mean_score_is_told_and_latents_only_where_explanations_travel() -> None:
    def mean(value: float) -> MeanScore:
        return MeanScore(mean=value, low=None, high=None, n_latents=1009)

    own, other = mean(0.7125), mean(0.5)
    facts = {"explanations": "offline", "scorer": "detection", "definition": "", "deciles": {}, "n_missing": 0}
    summary = ScoreSummary(name="balanced_accuracy", own=own, controls={next(iter(CONTROLS)): other}, **facts)  # pyright: ignore
    report = _report()
    with_scores = replace(report, saes=(replace(report.saes[0], scores=(summary,)),))
    text = card_text(_facts(with_scores))
    assert "Over all 1,009 scored latents: balanced&#95;accuracy 0.713; " in text or "balanced&#95;accuracy 0.712; " in text
    assert "Latents, for example" not in card_text(replace(_facts(with_scores), explanations=()))
