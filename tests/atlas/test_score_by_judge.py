"""Scores that a judge gives, on planted latents: 0 fires on " cat", 1 after " the", 2 never, 3 and 4 at random."""

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from score_fakes import Desks, kept_evidence, lines, reader, told

from monoseme.atlas import SCORERS, Atlas, Explanation, Score
from monoseme.atlas.coder import CodedText
from monoseme.atlas.evidence import Evidence
from monoseme.atlas.score._base import Scorer
from monoseme.atlas.split import is_heldout
from monoseme.core.errors import ConfigError
from monoseme.judges import Question, Reply

SAID = (
    Explanation(latent=0, text=" cat"),
    Explanation(latent=1, text=" the"),
    Explanation(latent=2, text=None, why_missing="never fired"),
    Explanation(latent=3, text="<script>"),
)
KNOWING = reader(
    lambda explanation, text: 9 if explanation and explanation in text.replace("\u27e6", "").replace("\u27e7", "") else 1
)


@pytest.fixture(scope="module")
def evidence(planted: Atlas) -> Evidence:
    return kept_evidence(planted)


@pytest.fixture
def desks(tmp_path: Path) -> Desks:
    return Desks(tmp_path)


def _numbers(scores: Iterator[Score]) -> dict[tuple[int, str, int | None], Score]:
    return {(score.latent, score.name, score.decile): score for score in scores}


def test_detection_of_a_planted_rule_is_perfect_and_its_controls_are_not(evidence: Evidence, desks: Desks) -> None:
    scorer = SCORERS.get("llm_detection")(desk=desks(KNOWING))
    found = _numbers(scorer.score(evidence, SAID))
    for name in ("balanced_accuracy", "auroc", "hit_rate", "balanced_accuracy_lookup", "auroc_lookup"):
        assert found[0, name, None].value == 1.0, name
    assert found[0, "false_alarm_rate", None].value == 0.0
    assert found[0, "balanced_accuracy_empty", None].value == found[0, "auroc_empty", None].value == 0.5
    assert found[0, "auroc_other", None].value == pytest.approx(0.5, abs=0.2)
    assert found[0, "auroc", 9].value == 1.0
    # what stands before a token says nothing of the token itself, so that the table of tokens knows nothing
    assert (found[1, "auroc", None].value or 0) > 0.85 > 0.75 > (found[1, "auroc_lookup", None].value or 1)


def test_every_number_comes_for_every_explanation_in_order(evidence: Evidence, desks: Desks) -> None:
    for name in ("llm_detection", "fuzzing", "simulation", "intruder"):
        scorer = SCORERS.get(name)(desk=desks(lambda _: "no"))
        scores = list(scorer.score(evidence, SAID))
        for said in SAID:
            own = [score for score in scores if score.latent == said.latent and score.decile is None]
            assert {score.name for score in own} == set(scorer.definitions), name
            assert all((score.value is None) == (score.why_missing is not None) for score in own)
        latents = [score.latent for score in scores]
        assert all(a <= b for a, b in pairwise(latents))


def test_useless_answers_are_failures_and_no_scores(evidence: Evidence, desks: Desks) -> None:
    for said in ("no", '{"excerpt_1": 99}'):
        scorer = SCORERS.get("llm_detection")(desk=desks(lambda _, said=said: said))
        found = _numbers(scorer.score(evidence, SAID[:1]))
        assert found[0, "failed_fraction", None].value == 1.0
        assert found[0, "auroc", None].value is None
        assert "no usable answer" in str(found[0, "auroc", None].why_missing)
        own = [judgement for judgement in scorer.judgements if judgement.told == "own"]
        assert own
        assert all(judgement.answer is None and judgement.failure for judgement in own)


def test_what_failed_is_left_out_and_the_rest_counts(evidence: Evidence, desks: Desks) -> None:
    def first_fails(question: Question) -> str | Reply:
        if told(question) == " cat" and first:
            return first.pop()
        return KNOWING(question)

    first = [Reply(text=None, failure="refused")]
    found = _numbers(SCORERS.get("llm_detection")(desk=desks(first_fails)).score(evidence, SAID[:1]))
    whole = _numbers(SCORERS.get("llm_detection")(desk=desks(KNOWING)).score(evidence, SAID[:1]))
    assert found[0, "auroc", None].value == 1.0
    assert found[0, "auroc", None].n == whole[0, "auroc", None].n - 5
    assert 0 < (found[0, "failed_fraction", None].value or 0) < 0.5


def test_the_questions_counted_are_the_questions_asked(evidence: Evidence, desks: Desks) -> None:
    for name in ("llm_detection", "fuzzing", "simulation", "intruder"):
        desk = desks(KNOWING)
        scorer = SCORERS.get(name)(desk=desk)
        counted = {question.key({}) for question in scorer.questions(evidence, SAID[:2])}
        list(scorer.score(evidence, SAID[:2]))
        assert counted == {question.key({}) for question in _asked(scorer)}, name


def test_only_held_out_documents_are_asked_about_with_the_right_answers(evidence: Evidence, desks: Desks) -> None:
    for name in ("llm_detection", "fuzzing", "simulation"):
        scorer = SCORERS.get(name)(desk=desks(KNOWING))
        list(scorer.score(evidence, SAID[:1]))
        documents = np.array([judgement.document for judgement in scorer.judgements])
        assert is_heldout(documents).all(), name
    scorer = SCORERS.get("llm_detection")(desk=desks(KNOWING))
    list(scorer.score(evidence, SAID[:1]))
    shown = [line for question in _asked(scorer) if told(question) == " cat" for line in lines(question).values()]
    own = [judgement for judgement in scorer.judgements if judgement.told == "own"]
    assert [" cat" in line for line in shown] == [judgement.truth == 1 for judgement in own]


def test_fuzzing_marks_the_firing_tokens_or_silent_ones(evidence: Evidence, desks: Desks) -> None:
    def reads_marks(explanation: str | None, text: str) -> int:
        inside = text.split("\u27e6")[1:]
        return 9 if explanation and all(part.startswith(explanation) for part in inside) else 0

    scorer = SCORERS.get("fuzzing")(desk=desks(reader(reads_marks)))
    found = _numbers(scorer.score(evidence, SAID[:2]))
    assert found[0, "balanced_accuracy", None].value == found[0, "balanced_accuracy_lookup", None].value == 1.0
    kinds = {judgement.kind for judgement in scorer.judgements}
    assert kinds == {"decile", "wrong_marks", "silent", "near_miss"} - ({"near_miss"} - kinds)
    for question in _asked(scorer):
        assert all("\u27e6" in text for text in lines(question).values())


def test_simulation_of_a_planted_rule_correlates_perfectly(evidence: Evidence, desks: Desks) -> None:
    exact = reader(lambda explanation, text: 9 if text == explanation else 0)
    scorer = SCORERS.get("simulation")(desk=desks(exact))
    found = _numbers(scorer.score(evidence, SAID))
    assert found[0, "correlation", None].value == pytest.approx(1.0)
    assert found[0, "correlation", 9].value == pytest.approx(1.0)
    assert found[0, "correlation_lookup", None].value == pytest.approx(1.0)
    assert abs(found[0, "correlation_other", None].value or 0) < 0.3
    assert found[0, "correlation_empty", None].value is None
    said = json.loads(next(judgement.details for judgement in scorer.judgements if judgement.latent == 0))
    assert np.corrcoef(said["real"], said["said"])[0, 1] == pytest.approx(1.0)


def test_simulation_pools_tokens_as_by_hand(evidence: Evidence, desks: Desks) -> None:
    lengths = reader(lambda _, text: len(text) % 10)
    scorer = SCORERS.get("simulation")(desk=desks(lengths))
    found = _numbers(scorer.score(evidence, SAID[1:2]))
    own = [json.loads(judgement.details) for judgement in scorer.judgements if judgement.told == "own"]
    real, said = (np.concatenate([row[name] for row in own]) for name in ("real", "said"))
    assert found[1, "correlation", None].value == pytest.approx(np.corrcoef(real, said)[0, 1])


def test_the_intruder_is_the_silent_excerpt(evidence: Evidence, desks: Desks) -> None:
    def without_cat(question: Question) -> str:
        silent = [i + 1 for i, text in enumerate(lines(question).values()) if " cat" not in text]
        return json.dumps({"number": silent[0] if silent else 1})

    scorer = SCORERS.get("intruder")(desk=desks(without_cat))
    found = _numbers(scorer.score(evidence, SAID))
    assert found[0, "accuracy", None].value == found[0, "accuracy_lookup", None].value == 1.0
    assert found[0, "chance", None].value == 0.2
    assert (found[1, "accuracy_lookup", None].value or 1) < 0.8
    assert found[2, "accuracy", None].why_missing == "only 0 questions can be made of its held-out excerpts"
    assert all(len(json.loads(judgement.details)["shown"]) == 5 for judgement in scorer.judgements)


def _reads_cat(texts: list[str], latents: list[int]) -> list[CodedText]:
    """Latent 0 fires with 1.25 on each cat."""
    return [
        CodedText(tuple(text), np.array([[1.25 * (letter == "c" and latents == [0])] for letter in text], dtype=np.float32))
        for text in texts
    ]


def test_generation_runs_the_sae_on_what_is_written(evidence: Evidence, desks: Desks) -> None:
    def writes(question: Question) -> str:
        return json.dumps({f"text_{i + 1}": f"{i}{told(question) or ''}" for i in range(10)})

    scorer = SCORERS.get("generation")(desk=desks(writes))
    with pytest.raises(ConfigError, match="has no model and SAE"):
        list(scorer.score(evidence, SAID))
    scorer.coder = _reads_cat  # type: ignore[assignment]
    found = _numbers(scorer.score(evidence, SAID))
    assert found[0, "fire_rate", None].value == 1.0
    assert found[0, "strength", None].value == pytest.approx(0.5)  # the latent is 2.5 wherever it fires
    assert found[0, "fire_rate_empty", None].value == 0.0
    assert found[0, "fire_rate_lookup", None].value == 1.0
    assert len(_asked(scorer)) == 4  # one for each explanation, and one without
    assert {judgement.told for judgement in scorer.judgements} == {"own", "other", "empty", "lookup"}


def test_without_controls_a_third_is_asked(evidence: Evidence, desks: Desks) -> None:
    kind = SCORERS.get("llm_detection")
    whole = len(list(kind(desk=desks(KNOWING)).questions(evidence, SAID[:2])))
    alone = kind(kind.Config(controls=False), desk=desks(KNOWING))
    assert len(list(alone.questions(evidence, SAID[:2]))) * 3 == whole
    found = _numbers(alone.score(evidence, SAID[:1]))
    assert found[0, "auroc_other", None].why_missing == "no controls were asked for"
    assert found[0, "auroc_lookup", None].value == 1.0


def test_an_atlas_that_keeps_no_codes_says_so(evidence: Evidence, planted: Atlas, desks: Desks) -> None:
    bare = Evidence(planted.latents("topk"), planted.text)
    bare.kept = None  # type: ignore[misc]
    found = _numbers(SCORERS.get("intruder")(desk=desks(KNOWING)).score(bare, SAID[:1]))
    assert "keeps no codes" in str(found[0, "accuracy", None].why_missing)


def test_scores_are_the_same_each_time(evidence: Evidence, desks: Desks) -> None:
    kind = SCORERS.get("fuzzing")
    first, second = (list(kind(desk=desks(KNOWING)).score(evidence, SAID[:1])) for _ in range(2))
    assert first == second
    assert not any(score.value is not None and math.isnan(score.value) for score in first)


@pytest.mark.parametrize(
    ("name", "bad"),
    [("llm_detection", {"n_per_decile": 0}), ("llm_detection", {"n_silent": 0, "n_near_misses": 0}),
     ("llm_detection", {"items_per_question": 0}), ("fuzzing", {"n_wrongly_marked": -1}), ("intruder", {"n_excerpts": 2}),
     ("generation", {"n_texts": 0}), ("simulation", {"length": 1}), ("detection_as_delphi", {"window": 2})],
)  # fmt: skip
def test_settings_out_of_range_are_refused(name: str, bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        SCORERS.get(name).Config(**bad)


@pytest.mark.parametrize("name", [name for name in SCORERS.names() if name not in ("detection", "embedding")])
def test_a_scorer_that_asks_needs_a_judge(name: str) -> None:
    with pytest.raises(ConfigError, match="--judge"):
        SCORERS.get(name)()


def _asked(scorer: Scorer) -> list[Question]:
    assert scorer.desk is not None
    return scorer.desk.judge.asked  # type: ignore[attr-defined]
