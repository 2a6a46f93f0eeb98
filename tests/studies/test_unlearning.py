"""A model forgets what it is made to forget, only what it knew counts, and what it should keep decides which settings count."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monoseme.cli.main import main
from monoseme.core.errors import ConfigError, CorpusError
from monoseme.evaluation import writes_of
from monoseme.evaluation.formats import read_saebench
from monoseme.models import LanguageModel, Site
from monoseme.models.edit import EditContext
from monoseme.pipeline import RunFolder
from monoseme.saes import Codes
from monoseme.saes.topk import TopK
from monoseme.splice import splice
from monoseme.studies._unlearning.asking import Examiner
from monoseme.studies._unlearning.clamping import Setting, clamp_where_active, densities, latents_to_clamp
from monoseme.studies._unlearning.outcomes import Outcome
from monoseme.studies._unlearning.questions import Question, QuestionSet, read_questions
from monoseme.studies._unlearning.scores import metrics_of, scores_of
from monoseme.studies._workbench import Coded
from monoseme.studies.unlearning import Unlearning
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing.models import tiny_model

WORDS = ("cat", "mat", "red", "sun", "two", "hills", "big", "one", "saw", "sat")


# --- questions -----------------------------------------------------------------------------------------------------------


def test_the_answer_of_a_row_is_a_number_a_letter_or_a_choice(tmp_path: Path) -> None:
    file = tmp_path / "some_topic.jsonl"
    rows = [{"question": "?", "choices": ["x", "y", "z"], "answer": answer} for answer in (2, "2", "C", "z")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    held = read_questions(str(file), split="test", most=3)
    assert held == QuestionSet("some_topic", (Question("?", ("x", "y", "z"), 2),) * 3)
    assert held.subject == "some topic"
    assert held.prompt(held.questions[0]).endswith(" about some topic.\n?\nA. x\nB. y\nC. z")
    assert len(read_questions(str(file), split="test", most=None).questions) == 4


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "?", "choices": ["x", "y"], "answer": 2}, "the answer is 2"),
        ({"question": "?", "choices": "xy", "answer": 0}, "is no question"),
        ({"question": "?", "choices": ["x"], "answer": 0}, "1 choices"),
        ({"text": "?"}, "it has text"),
    ],
)
def test_a_row_that_is_no_question_is_told(row: dict[str, object], said: str, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(json.dumps(row))
    with pytest.raises(CorpusError, match=said):
        read_questions(str(tmp_path / "q.jsonl"), split="test", most=None)


@given(st.permutations(range(4)), st.integers(0, 3))
def test_another_order_of_the_choices_keeps_the_right_one(order: list[int], answer: int) -> None:
    question = Question("?", ("a", "b", "c", "d"), answer)
    moved = question.reordered(order)
    assert moved.choices[moved.answer] == question.choices[answer]
    assert sorted(moved.choices) == list(question.choices)


# --- asking --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    """Knows the first 4 questions of "x" and of "y" in both orders: the letters' rows of the unembedding are solved for them."""
    made = tiny_model(overrides={"max_position_embeddings": 256})
    taught = [held._replace(questions=held.questions[:4]) for held in (_made("x", 4, 2), _made("y", 4, 2, first="saw"))]
    head = made._model.lm_head.weight  # pyright: ignore
    hidden, wanted = [], []
    for held in taught:
        for question in held.questions:
            for order in ((0, 1), (1, 0)):
                turned = question.reordered(order)
                logits = made.run(torch.tensor([made.encode(held.prompt(turned) + "\nAnswer:")])).logits[0, -1]
                hidden.append(torch.linalg.lstsq(head.double(), logits.double()).solution)
                wanted.append(1.0 - 2.0 * turned.answer)
    direction = torch.linalg.lstsq(torch.stack(hidden), torch.tensor(wanted, dtype=torch.float64)).solution
    for letter, sign in (("A", 5.0), ("B", -5.0)):
        head[made.tokenizer(letter, add_special_tokens=False)["input_ids"][0]] = (sign * direction).float()
    return made


def _made(name: str, n: int, n_choices: int, *, first: str = "") -> QuestionSet:
    rng = np.random.default_rng(n_choices)
    drawn = [rng.choice(len(WORDS), n_choices + 1 + i % 3, replace=False) for i in range(n)]
    questions = [
        Question(" ".join([first, *(WORDS[j] for j in d[n_choices:])]), tuple(WORDS[j] for j in d[:n_choices]), i % n_choices)
        for i, d in enumerate(drawn)
    ]
    return QuestionSet(name, tuple(questions))


def test_a_question_is_answered_by_the_likeliest_letter(model: LanguageModel) -> None:
    held = _made("x", 13, 2)
    found = Examiner(model, batch_size=5).right(held)
    for question, is_right in zip(held.questions, found, strict=True):
        logits = model.run(torch.tensor([model.encode(held.prompt(question) + "\nAnswer:")])).logits[0, -1]
        letters = [model.tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "AB"]
        assert is_right == (int(logits[letters].argmax()) == question.answer)
    assert len(set(found)) == 2  # some right, some wrong


def test_known_is_what_is_right_in_every_order(model: LanguageModel) -> None:
    examiner, held = Examiner(model, batch_size=16), _made("x", 37, 2)
    each = [
        examiner.right(held._replace(questions=tuple(question.reordered(order) for question in held.questions)))
        for order in itertools.permutations(range(2))
    ]
    wanted = [i for i in range(37) if all(right[i] for right in each)]
    assert examiner.known(held) == wanted
    assert 0 < len(wanted) < sum(each[0])  # the second order takes some away


def test_a_chat_template_makes_the_question_a_turn(model: LanguageModel) -> None:
    with pytest.raises(Exception, match="no chat template"):
        Examiner(model, style="chat")
    chatty = tiny_model(overrides={"max_position_embeddings": 256})
    chatty.tokenizer.chat_template = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}\n{% endfor %}sun:"
    held = _made("x", 1, 2)
    text = f"user: {held.prompt(held.questions[0])}\nsun:Answer: ("
    assert Examiner(chatty)._asked(held, held.questions[0]).ids == chatty.encode(text)  # one BOS, from the template


# --- clamping ------------------------------------------------------------------------------------------------------------


def test_latents_are_ranked_by_the_text_to_forget_among_those_rare_in_the_other() -> None:
    forget = torch.tensor([0.5, 0.0, 0.3, 0.4, 0.4, 0.1])
    retain = torch.tensor([0.01, 0.0, 0.009, 0.0, 0.001, 0.0])
    assert latents_to_clamp(forget, retain, Setting(0.01, 3, 1.0)) == [3, 4, 2]
    assert latents_to_clamp(forget, retain, Setting(0.001, 7, 1.0)) == [3, 5]  # 1 never fires, 4 is at the bound


def test_a_density_is_the_share_of_tokens_above_zero() -> None:
    codes = [torch.tensor([[1.0, 0.0, -2.0]]), torch.tensor([[3.0, 0.0, 1.0], [0.0, 0.0, 0.0]])]
    coded = (Coded(None, {"s": SparseCodes.from_dense(x)}) for x in codes)  # pyright: ignore[reportArgumentType]
    assert densities(coded)["s"].tolist() == pytest.approx([2 / 3, 0.0, 1 / 3])


def test_a_clamp_acts_where_a_latent_is_above_zero_and_nowhere_else() -> None:
    x = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 4.0]])
    wanted = [[1.0, -9.0, 0.0], [0.0, -1.0, -9.0]]
    change = clamp_where_active([1, 2], -9.0)
    for codes in (Codes({"all": x}), Codes({"all": SparseCodes.from_dense(x)})):
        assert change(codes, _no_context()).dense().tolist() == wanted


def _no_context() -> EditContext:
    none = torch.zeros(0, 0, dtype=torch.bool)
    tokens = torch.zeros(0, 0, dtype=torch.int64)
    return EditContext(tokens=tokens, mask=none, positions=tokens, row=tokens[0:0, 0:0].flatten(), is_prompt=none)


def test_special_tokens_and_what_the_sae_does_not_explain_stay(model: LanguageModel) -> None:
    sae, site = TopK(TopK.Config(d_in=model.spec.d_model, n_latents=31, k=3)), Site("resid_post", 1)
    tokens = torch.tensor([model.encode("the cat sat on a mat")])
    before = model.capture(tokens, [site])[site]
    codes = sae.encode(before[0]).dense()
    latents = [int(codes[2].argmax())]
    edit = splice(sae, site, error_term=True, change=clamp_where_active(latents, -25.0))
    after = model.run(tokens, edits=[edit], capture=[site]).captured[site]
    changed = codes.clone()
    changed[:, latents] = torch.where(changed[:, latents] > 0, -25.0, changed[:, latents])
    wanted = before[0] + (changed - codes) @ writes_of(sae, n_sites=1).float()
    torch.testing.assert_close(after[0, 1:], wanted[1:], rtol=1e-4, atol=1e-4)
    assert torch.equal(after[0, 0], before[0, 0])


# --- scores --------------------------------------------------------------------------------------------------------------


def _outcome(forget: str, retain: str, multiplier: float = 1.0) -> Outcome:
    right = [np.array([letter == "1" for letter in text]) for text in (forget, retain)]
    return Outcome(Setting(0.01, 10, multiplier), (0,), right[0], {"a": right[1][:3], "b": right[1][3:]})


def test_the_score_is_that_of_the_setting_that_forgets_most_of_those_that_keep_the_rest() -> None:
    outcomes = [_outcome("1101", "1" * 100, 1.0), _outcome("1000", "1" * 99 + "0", 2.0), _outcome("0000", "1" * 98 + "00", 3.0)]
    found = scores_of(outcomes, least_retained=0.99, n_replicates=50, seed=0)
    assert found.score is not None
    assert found.score.value == 0.75  # 0.99 itself is enough, 0.98 is not
    assert found.best == Setting(0.01, 10, 2.0)
    assert found.n_admissible == 2


def test_without_a_setting_that_keeps_the_rest_there_is_no_number() -> None:
    found = scores_of([_outcome("0000", "1110")], least_retained=0.99, n_replicates=50, seed=0)
    assert (found.score, found.best, found.n_admissible) == (None, None, 0)
    metric = metrics_of(found, n_forget=4, n_retain=4, least_retained=0.99)[0]
    assert metric.value is None
    assert metric.why_missing == "no setting keeps 99% of the 4 questions to retain"


def test_a_held_out_score_does_not_profit_from_the_best_of_many_settings_of_chance() -> None:
    rng = np.random.default_rng(0)
    outcomes = [Outcome(Setting(0.01, 1, m), (0,), rng.random(40) < 0.5, {"a": np.ones(30, dtype=bool)}) for m in range(1, 60)]
    found = scores_of(outcomes, least_retained=0.99, n_replicates=50, seed=0)
    assert found.score is not None
    assert found.held_out is not None
    assert found.score.value >= 0.65  # the best of 59 coins
    assert abs(found.held_out - 0.5) < 0.12


# --- the study -----------------------------------------------------------------------------------------------------------


def _write(file: Path, held: QuestionSet) -> str:
    rows = [{"question": q.text, "choices": q.choices, "answer": q.answer} for q in held.questions]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_the_study_asks_what_the_model_knows_again_under_every_setting(
    tmp_path: Path, model: LanguageModel, studied_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "model", tmp_path / "out"
    model._model.save_pretrained(folder)  # pyright: ignore
    model.tokenizer.save_pretrained(folder)
    (tmp_path / "forget.jsonl").write_text(json.dumps({"text": "the red sun sat over two hills " * 20}))
    forget, retain = _made("x", 11, 2), _made("y", 7, 2, first="saw")
    flags = ["--sae", f"{studied_run.path}/saes/topk,{studied_run.path}/saes/mlsae", "--model", str(folder)]
    flags += ["--forget_questions", _write(tmp_path / "x.jsonl", forget)]
    flags += ["--retain_questions", _write(tmp_path / "y.jsonl", retain), "--least_known", "3", "--batch_size", "32"]
    flags += ["--retain_density", "0.5,1.1", "--n_latents", "2,5", "--multiplier", "1e-3,200", "--n_tokens", "400"]
    words = ["study", "unlearning", "--out", str(out), *flags, "--quiet"]
    assert main(words) == 2
    assert "there is no text to forget" in capsys.readouterr().err
    assert main([*words, "--forget", str(tmp_path / "forget.jsonl"), "--least_known", "61"]) == 2
    assert "A model at chance" in capsys.readouterr().err
    assert main([*words, "--forget", str(tmp_path / "forget.jsonl"), "--force"]) == 0
    content = json.loads((out / "report" / "report.json").read_text())
    assert list(content["metrics"]) == ["topk"]  # MLSAE has several sites
    rows = (out / "report" / "tables" / "settings.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 2 * 2
    assert "Left out, for they have several sites: mlsae" in (out / "report" / "index.md").read_text()
    told = read_saebench(out / "report" / "files" / "unlearning_monoseme_topk_eval_results.json")
    assert set(told.metrics["unlearning"]) == {"unlearning_score"}
    assert [row["multiplier"] for row in told.unstructured["settings"]] == [1e-3, 200.0] * 4
    made = {path: path.stat().st_mtime_ns for path in (out / "work").rglob("*") if path.is_file()}
    assert main(["study", "unlearning", "--out", str(out), "--resume", "--quiet"]) == 0
    assert made == {path: path.stat().st_mtime_ns for path in (out / "work").rglob("*") if path.is_file()}


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="all must be above 0"):
        Unlearning.Config(multiplier=(25.0, 0.0))
    with pytest.raises(ConfigError, match="no side effect"):
        Unlearning.Config(retain_questions=())
    assert replace(Unlearning.Config(), n_latents=(10,)).settings()[0] == Setting(0.001, 10, 25.0)
