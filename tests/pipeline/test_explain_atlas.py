"""Explaining and scoring an atlas: the cost is told first, and what was finished before a kill is kept."""

import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from monoseme.atlas import EXPLAINERS, SCORERS, open_atlas
from monoseme.atlas.annotations import read_explanations, read_scores
from monoseme.atlas.choice import LatentChoice
from monoseme.core.display import use_display
from monoseme.core.errors import ArtifactExistsError, ConfigError, Interrupted, JudgeError
from monoseme.judges import JUDGES, Judge, Question, Reply
from monoseme.pipeline import AtlasPlace, ExplainConfig, ScoreConfig, explain_atlas, outcome_facts, score_atlas
from monoseme.pipeline._explain import lacking_text

sys.path.insert(0, str(Path(__file__).parents[1] / "atlas"))

from atlas_fakes import SITE, FakeSAE, planted_model, planted_source

from monoseme.atlas import Target, scan
from monoseme.saes import Codes
from tests.pipeline.conftest import Told


class _Turned(FakeSAE):
    """Latent f is what FakeSAE calls f - 1; latent 3 never fires."""

    def encode(self, x: Tensor, state: Any = None) -> Codes:
        return super().encode(x.roll(1, -1), state)


class Scripted(Judge):
    """Explains, or says stop after so many answers."""

    left = 1_000
    asked = 0

    @property
    def price_name(self) -> None:
        return None

    def answer(self, question: Question) -> Reply:
        if type(self).left <= 0:
            raise Interrupted("stopped")
        type(self).left -= 1
        type(self).asked += 1
        return Reply(text=json.dumps({"reasoning": "", "explanation": "the word cat", "certainty": 7}))

    def count_tokens(self, question: Question) -> int:
        return len(question.messages[-1].text)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[AtlasPlace]:
    targets = [Target("one", FakeSAE(5), (SITE,)), Target("two", _Turned(5), (SITE,))]
    scan(planted_source(), targets, tmp_path / "atlas", model=planted_model())
    JUDGES.add("scripted", Scripted)
    Scripted.left, Scripted.asked = 1_000, 0
    yield AtlasPlace.at(tmp_path / "atlas")
    JUDGES._added.pop("scripted")


CONFIG = ExplainConfig(
    explainer="llm_top", explainer_config={"n_top": 6}, scorer="detection", judge="scripted", judge_config={"model": "x"}
)


def test_a_dry_run_asks_and_writes_nothing(place: AtlasPlace) -> None:
    display = Told()
    with use_display(display):
        outcome = explain_atlas(place, CONFIG, dry_run=True)
    assert [estimate.n_to_ask for estimate in outcome.estimates.values()] == [4, 4]  # latent 2 never fires
    assert any("explain 5 latents of one by llm_top" in line for line in display.lines)
    assert outcome.labels == ()
    assert Scripted.asked == 0
    assert not (place.folder / "annotations").exists()
    json.dumps(outcome_facts(outcome))


def test_only_a_dry_run_goes_without_a_key(place: AtlasPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "missing_key", "MY_KEY")
    monkeypatch.setattr(Scripted, "count_tokens", lambda self, question: None)
    asking = ScoreConfig(scorer="detection", explanations="mine", judge="scripted", judge_config={"model": "x"})
    with pytest.raises(ConfigError, match="MY_KEY holds no key"):
        explain_atlas(place, CONFIG)
    with pytest.raises(ConfigError, match="MY_KEY holds no key"):
        score_atlas(place, asking)
    assert all(estimate.is_guess for estimate in explain_atlas(place, CONFIG, dry_run=True).estimates.values())


def test_the_cost_is_told_before_and_after(place: AtlasPlace) -> None:
    display = Told()
    with use_display(display):
        outcome = explain_atlas(place, CONFIG, saes=["one"])
    assert outcome.labels == ("one/llm_top", "one/detection.llm_top")
    assert display.lines[0].startswith("explain 5 latents of one by llm_top: 4 questions")
    assert any("never fired" in line for line in display.lines)
    assert outcome.report is not None
    assert outcome.report.n_asked == Scripted.asked == 4


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ({"it never fired": 1}, "1 latent has none: it never fired"),
        ({"it never fired": 1400}, "1,400 latents have none: it never fired"),
        (
            {"no firing": 4, "it never fired": 1400, "no answer": 5},
            "1,409 latents have none, 1,400 because: it never fired; 5 because: no answer; 4 because: no firing",
        ),
        (
            {"it never fired": 5, "too few: 3": 2, "too few: 0": 1, "too few: 1": 4},
            "12 latents have none, 7 because: too few: 0 to 3; 5 because: it never fired",
        ),
        ({"too few: 2": 3, "it never fired": 1}, "4 latents have none, 3 because: too few: 2; 1 because: it never fired"),
        (
            {f"answer {i}": 20 - i for i in range(11)},
            "165 latents have none, "
            + "; ".join(f"{20 - i} because: answer {i}" for i in range(8))
            + "; 33 for 3 other reasons, which their pages tell",
        ),
    ],
)
def test_latents_without_an_explanation_are_counted_with_all_reasons_the_most_frequent_first(
    lacking: dict[str, int], told: str
) -> None:
    assert lacking_text(Counter(lacking)) == told


def test_the_same_command_goes_on_after_an_interruption_and_asks_nothing_twice(place: AtlasPlace) -> None:
    Scripted.left = 6  # all four of the first SAE, two of the second
    with pytest.raises(Interrupted):
        explain_atlas(place, CONFIG)
    Scripted.left = 1_000
    outcome = explain_atlas(place, CONFIG)
    assert outcome.labels == ("two/llm_top", "two/detection.llm_top")
    assert Scripted.asked == 8
    with pytest.raises(ArtifactExistsError, match="never change"):
        explain_atlas(place, CONFIG)
    assert explain_atlas(place, CONFIG, resume=True).labels == ()


def test_other_settings_under_a_taken_label_are_refused_before_anything_is_asked(place: AtlasPlace) -> None:
    explain_atlas(place, CONFIG, saes=["two"])
    asked = Scripted.asked
    other = ExplainConfig(explainer="llm_top", scorer=None, judge="scripted", judge_config={"model": "x"})
    with pytest.raises(ArtifactExistsError, match="two has an annotation called llm_top"):
        explain_atlas(place, other)
    assert Scripted.asked == asked


def test_chosen_latents_are_explained_and_then_scored_by_name(place: AtlasPlace) -> None:
    config = ExplainConfig(scorer=None, which=LatentChoice(latents="0-1,3"), most_latents=2, label="few")
    explain_atlas(place, config, saes=["one"])
    with pytest.raises(ConfigError, match="no explanations to score"):
        score_atlas(place, ScoreConfig())
    outcome = score_atlas(place, ScoreConfig(label="mine"), saes=["one"])
    assert outcome.labels == ("one/mine",)
    assert score_atlas(place, ScoreConfig(explanations="few")).labels == ("one/detection.few",)
    score_atlas(place, ScoreConfig(explanations="few", label="second", which=LatentChoice(latents="1-2")))
    annotations = {part.label: part for part in open_atlas(place.folder).annotations("one")}
    assert [said.latent for said in read_explanations(annotations["few"])] == [0, 1]
    assert {row.latent for row in read_scores(annotations["mine"])} == {0, 1}
    assert {row.latent for row in read_scores(annotations["second"])} == {1}
    with pytest.raises(ConfigError, match="explains none of the 1 latents"):
        score_atlas(place, ScoreConfig(explanations="few", label="third", which=LatentChoice(latents="2")))


def test_a_judge_that_explains_nothing_takes_no_label(place: AtlasPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "answer", lambda *_: Reply(text=None, failure="the question is too long"))
    with pytest.raises(JudgeError, match=r"explained none of 5 latents of one(.|\n)*too long"):
        explain_atlas(place, CONFIG, saes=["one"])
    assert not open_atlas(place.folder).annotations("one")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (ExplainConfig(explainer="llm_top"), "asks a language model"),
        (ExplainConfig(judge="scripted"), "asks none"),
        (ExplainConfig(judge_config={"model": "x"}), "but no judge"),
        (ExplainConfig(explainer_config={"n_top": 3}), 'no setting "n_top"'),
    ],
)
def test_what_would_not_be_used_is_refused(place: AtlasPlace, config: ExplainConfig, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        explain_atlas(place, config)


def test_an_sae_that_is_not_there_is_refused_with_what_was_meant(place: AtlasPlace) -> None:
    with pytest.raises(ConfigError, match='Did you mean "one"'):
        explain_atlas(place, ExplainConfig(), saes=["onee"])


def test_a_larger_draw_holds_the_smaller_one(place: AtlasPlace) -> None:
    latents = open_atlas(place.folder).latents("one")
    draws = [set(LatentChoice(sample=n, seed=3).of(latents)) for n in (1, 2, 3, 4, 9)]
    assert all(small < large or small == large for small, large in itertools.pairwise(draws))
    assert draws[-1] == {0, 1, 3, 4}  # 2 never fires
    assert LatentChoice(min_density=0.2).of(latents) == [3, 4]
    assert LatentChoice(max_density=0.0).of(latents) == [2]
    with pytest.raises(ConfigError, match="no latent"):
        LatentChoice(min_density=0.9).of(latents)
    assert LatentChoice(latents="4,0-1, 1-3").of(latents) == [0, 1, 2, 3, 4]
    for wrong in ("", "a", "-1", "1-2-3", "1.5"):
        with pytest.raises(ConfigError, match="names no latents"):
            LatentChoice(latents=wrong)
    with pytest.raises(ConfigError, match="Write:  1-3"):
        LatentChoice(latents="3-1").of(latents)


def test_every_plug_in_that_asks_tells_its_questions() -> None:
    for registry in (EXPLAINERS, SCORERS):
        for name in registry.names():
            kind = registry.get(name)
            assert kind.asks_judge == (kind.questions is not registry._base_class().questions), name
