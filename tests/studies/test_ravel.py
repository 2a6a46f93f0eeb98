"""RAVEL on a tiny model whose own answers are taken for the facts, so that it knows all that it is asked."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from monoseme.core.errors import ConfigError, CorpusError, UndefinedMetricError
from monoseme.models import LanguageModel, ModelConfig
from monoseme.pipeline import RunFolder
from monoseme.studies import STUDIES
from monoseme.studies._ravel.patching import MaskSchedule, Patcher
from monoseme.studies._ravel.questions import Known, Question, is_answer, known_questions, read_questions
from monoseme.studies._ravel.swaps import Swap, draw_swaps, split_entities
from monoseme.studies._workbench import SaeStudyConfig, Workbench
from monoseme.studies.ravel import Ravel


@pytest.mark.parametrize("content", ["[]", '{"a": 3}'])
def test_files_that_are_not_ravels_are_refused(tmp_path: Path, content: str) -> None:
    for name in ("ravel_city_entity_attributes.json", "ravel_city_attribute_to_prompts.json"):
        (tmp_path / name).write_text(content)
    with pytest.raises(CorpusError, match="are not RAVEL's"):
        read_questions(str(tmp_path), kind="city", split="train")


def test_a_broken_row_is_told_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("template,entity,attribute,answer\nonly one\n")
    with pytest.raises(CorpusError, match="row 2 is no question"):
        read_questions(str(tmp_path / "q.csv"), kind=None, split="train")


ENTITIES = ("cat", "mat", "sun", "hill", "red", "one", "big")
TEMPLATES = {"place": ("on the %s saw", "over %s and two"), "kind": ("the %s sat on", "a big %s on one")}


def _known(entity: str, attribute: str, answer: str, template: str = "the %s sat") -> Known:
    return Known(Question(template, entity, attribute, answer), [1, 2, 3], 2, 0)


def test_an_entity_is_on_one_side_only():
    known = [_known(entity, "place", entity) for entity in ENTITIES for _ in range(3)]
    train, test = split_entities(known, test_fraction=0.3, seed=0)
    assert len(train) + len(test) == len(known)
    sides = [{each.question.entity for each in side} for side in (train, test)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 2


def test_swaps_differ_in_the_answer_at_stake_and_come_in_equal_numbers():
    known = [_known(e, "place", "x" if e in ENTITIES[:3] else "y") for e in ENTITIES]
    known += [_known(e, "kind", "u" if e in ENTITIES[:5] else "v") for e in ENTITIES]
    answers = {(k.question.entity, k.question.attribute): k.question.answer for k in known}
    swaps = draw_swaps(known, "place", n=12, seed=0)
    assert [sum(s.is_cause is kind for s in swaps) for kind in (True, False)] == [6, 6]
    for swap in swaps:
        asked = swap.base.question
        assert swap.source.question.attribute == "place"
        assert (asked.attribute == "place") is swap.is_cause
        assert answers[swap.source.question.entity, asked.attribute] != asked.answer
        assert swap.wanted is (swap.source if swap.is_cause else swap.base)
    assert swaps == draw_swaps(known, "place", n=12, seed=0)


def test_an_answer_is_how_the_text_begins():
    assert is_answer(" Paris, the", "paris")
    assert not is_answer(" in Paris", "Paris")


def test_tables_and_ravels_own_files_hold_the_same_questions(tmp_path: Path):
    table = tmp_path / "questions.jsonl"
    rows = [{"template": "%s is in", "entity": e, "attribute": "Country", "answer": a} for e, a in (("Rome", "Italy"),)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "ravel_city_entity_attributes.json").write_text(json.dumps({"Rome": {"Country": "Italy"}}))
    prompts = {"Country": ["%s is in", "%s and %s"]}
    (tmp_path / "ravel_city_attribute_to_prompts.json").write_text(json.dumps(prompts))
    expected = [Question("%s is in", "Rome", "Country", "Italy")]
    assert read_questions(str(table), kind=None, split="train") == expected
    assert read_questions(str(tmp_path), kind="city", split="train") == expected
    with pytest.raises(CorpusError, match="cannot be found"):
        read_questions(str(tmp_path), kind="verb", split="train")
    table.write_text(json.dumps(rows[0] | {"template": "no place"}) + "\n")
    with pytest.raises(CorpusError, match="with one %s"):
        read_questions(str(table), kind=None, split="train")


def _facts(model: LanguageModel) -> list[Question]:
    """Questions whose answer is what the model says."""
    asked = [(t, e, a) for a, templates in TEMPLATES.items() for t in templates for e in ENTITIES]
    told = model.generate([t.replace("%s", e) for t, e, _ in asked], max_new_tokens=3)
    return [Question(t, e, a, answer.text) for (t, e, a), answer in zip(asked, told, strict=True) if answer.text.strip()]


@pytest.fixture(scope="module")
def bench(studied_run: RunFolder) -> Workbench:
    return Workbench(SaeStudyConfig(sae=(f"{studied_run.path}/saes/topk",)))


def test_what_is_carried_over_is_decoded_as_the_sae_itself_does(bench: Workbench):
    model, subject = bench.model, bench.subjects[0]
    known = known_questions(model, _facts(model), max_new_tokens=3, batch_size=8)
    assert {each.question.template for each in known} == {t for ts in TEMPLATES.values() for t in ts}
    assert all(model.decode_tokens([each.ids[each.position]])[0].strip()[-1] == each.question.entity[-1] for each in known)
    base, source = known[0], next(each for each in known if each.question.entity != known[0].question.entity)
    patcher, swap = Patcher(model, subject), Swap(known[0], source, True)
    x = model.capture(torch.tensor([base.ids]), [patcher.site])[patcher.site][0, base.position]
    at = patcher.at(base)
    torch.testing.assert_close(at.x, x)
    torch.testing.assert_close(at.x_hat, subject.sae.decode(subject.sae.encode(x[None]))[0])
    # All latents carried over without the error term: the source's reconstruction. None with it: the model as it is.
    moved = patcher.anchors([swap], error_term=False) + patcher.differences([swap]) @ patcher.writes
    torch.testing.assert_close(moved[0], patcher.at(source).x_hat, atol=1e-5, rtol=1e-4)
    said = patcher.logits([swap], patcher.anchors([swap], error_term=True))
    torch.testing.assert_close(said[0], model.run(torch.tensor([base.ids])).logits[0, -1], atol=1e-4, rtol=1e-4)
    assert int(said.argmax()) == base.first_token
    whole = patcher.answers([swap], patcher.at(base).x[None], max_new_tokens=3, batch_size=1)
    assert whole == [is_answer(base.question.answer, source.question.answer)]


def test_a_mask_takes_the_latents_that_help_and_leaves_those_that_harm(bench: Workbench):
    model = bench.model
    patcher = Patcher(model, bench.subjects[0])
    known = known_questions(model, _facts(model), max_new_tokens=3, batch_size=8)
    swaps = draw_swaps(known, "place", n=24, seed=0)
    schedule = MaskSchedule(epochs=2, batch_size=5)
    found, again = (patcher.train(swaps, schedule, error_term=True) for _ in range(2))
    assert (found == again).all()
    # The first step is against the gradient at an open mask of 1/2, which a small change of each logit shows.
    gradient = patcher._gradient(swaps, torch.zeros(24), 1.0, error_term=True)  # pyright: ignore[reportPrivateUsage]
    one = patcher.train(swaps, MaskSchedule(epochs=1, batch_size=len(swaps)), error_term=True)
    moving = gradient.abs() > 1e-6
    assert (one[moving].sign() == -gradient[moving].sign()).all()
    assert one[moving].abs() == pytest.approx(1e-3, rel=1e-2)


def test_the_report_holds_scores_controls_and_what_is_known(studied_run: RunFolder, bench: Workbench, tmp_path: Path):
    table = tmp_path / "questions.jsonl"
    facts = [*_facts(bench.model), Question("the %s saw", "cat", "place", "nothing of the kind")]
    table.write_text("".join(json.dumps(each._asdict()) + "\n" for each in facts))
    STUDIES.get("ravel")  # gives it its name
    settings = {"n_train": 8, "n_test": 8, "max_new_tokens": 3, "n_replicates": 20, "test_fraction": 0.4}
    study = Ravel(Ravel.Config(sae=(f"{studied_run.path}/saes/topk",), questions=str(table), **settings))  # pyright: ignore
    found = study.investigate(tmp_path / "work")
    rows = found.tables["ravel"]
    assert {row["subject"] for row in rows} == {"nothing carried over", "whole vector", "topk", "topk, random latents"}
    for row in rows:
        assert row["disentanglement"] == pytest.approx((row["cause"] + row["isolation"]) / 2)
        if row["subject"] == "nothing carried over":
            assert row["isolation"] == 1.0
    known = {row["attribute"]: row for row in found.tables["known"]}
    assert known["place"]["n_asked"] - known["place"]["n_known"] == 1
    assert set(found.files) == {"ravel_monoseme_topk_eval_results.json"}


def test_a_model_that_knows_nothing_is_told_so(studied_run: RunFolder, tmp_path: Path):
    table = tmp_path / "questions.jsonl"
    rows = [{"template": "the %s", "entity": e, "attribute": "place", "answer": "qqq"} for e in ENTITIES]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = Ravel(Ravel.Config(sae=(f"{studied_run.path}/saes/topk",), questions=str(table)))
    with pytest.raises(UndefinedMetricError, match="answers 0 rightly"):
        study.investigate(tmp_path / "work")


def test_an_sae_outside_of_a_run_needs_its_model_and_no_text(studied_run: RunFolder, model_folder: Path, tmp_path: Path):
    sae, table = shutil.copytree(studied_run.sae("topk"), tmp_path / "given"), tmp_path / "questions.jsonl"
    rows = [{"template": "the %s", "entity": e, "attribute": "place", "answer": "qqq"} for e in ENTITIES]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = Ravel(Ravel.Config(sae=(str(sae),), questions=str(table), model=ModelConfig(model=str(model_folder))))
    with pytest.raises(UndefinedMetricError, match="answers 0 rightly"):
        study.investigate(tmp_path / "work")


def test_questions_must_be_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="--questions"):
        Ravel(Ravel.Config(sae=("x",))).investigate(tmp_path)
