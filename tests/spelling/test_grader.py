"""Grades against a reference that runs one question at a time, and what edits do to them."""

import pytest
import torch

from monoseme.core.errors import ModelError
from monoseme.models import LanguageModel, Site
from monoseme.models.edit import EditContext, FunctionEdit
from monoseme.spelling import Grade, Prompt, Prompter, grade, sheet_of, sheets, task_named, written
from monoseme.spelling.grader import _judged  # pyright: ignore[reportPrivateUsage]
from monoseme.tensors.shapes import Tensor

_WORDS = (" cat", " sat", " Hill", "saw", " onethree", " mat", " a")


def _reference(model: LanguageModel, prompt: str, answer: str) -> tuple[list[int], float, float]:
    """Likeliest tokens and the two sums, from a forward of this text alone."""
    before, whole = model.encode(prompt), model.encode(prompt + answer)
    assert whole[: len(before)] == before
    log_p = model.run(torch.tensor([whole])).logits[0].double().log_softmax(-1)[len(before) - 1 : -1]
    right = torch.tensor(whole[len(before) :])
    return log_p.argmax(-1).tolist(), float(log_p.gather(1, right[:, None]).sum()), float(log_p.max(-1).values.sum())


@pytest.mark.parametrize("batch_tokens", [1, 8192])
def test_grades_of_batches_are_those_of_one_question_at_a_time(tiny: LanguageModel, batch_tokens: int):
    asked = sheets(task_named("spelling"), _WORDS, n_examples=(0, 2, 3))
    grades = grade(tiny, asked, batch_tokens=batch_tokens)
    assert [(g.word, g.n_examples) for g in grades] == [(q.word, q.n_examples) for sheet in asked for q in sheet.asked]
    for g in grades:
        predicted, log_prob, best = _reference(tiny, g.prompt, g.answer)
        assert g.prediction == tiny.token_text(predicted)
        assert g.answer_log_prob == pytest.approx(log_prob, rel=1e-12)
        assert g.prediction_log_prob == pytest.approx(best, rel=1e-12)
        assert g.is_correct == (g.n_right_tokens == g.n_answer_tokens) == (g.prediction == g.answer)
    n_tokens = {g.word: g.n_tokens for g in grades}
    assert (n_tokens[" cat"], n_tokens["saw"], n_tokens[" Hill"]) == (1, 3, 4), "the space before H is a token of its own"


def test_a_choice_is_the_likeliest_of_the_tasks_answers(bundled: LanguageModel):
    task = task_named("first_letter")
    asked = sheets(task, [" cat", " Once", " tartan"], n_examples=(0, 1))
    for g in grade(bundled, asked, task=task):
        logits = bundled.run(torch.tensor([bundled.encode(g.prompt)])).logits[0, -1]
        letters = {label: bundled.encode(f"{g.prompt} {label}")[-1] for label in task.classes or ()}
        assert g.choice == max(letters, key=lambda label: float(logits[letters[label]]))
        _, log_prob, _ = _reference(bundled, g.prompt, g.answer)
        assert g.answer_log_prob == pytest.approx(log_prob, abs=1e-4)  # float32 products of other shapes


def test_grades_of_prompts_are_those_of_sheets_with_one_question(tiny: LanguageModel):
    prompter = Prompter(task=task_named("last_letter"), examples=_WORDS, n_examples=2)
    (alone,) = grade(tiny, [sheet_of(prompter(" sun"))])
    among = grade(tiny, [sheet_of(prompter(word)) for word in (" big", " sun", " hills")])[1]
    assert among._replace(answer_log_prob=0.0, prediction_log_prob=0.0) == alone._replace(
        answer_log_prob=0.0, prediction_log_prob=0.0
    )
    assert among.answer_log_prob == pytest.approx(alone.answer_log_prob, rel=1e-12)


def _speller(model: LanguageModel) -> FunctionEdit:
    """Knows the text: puts the direction of the token that comes next at the end of the residual stream."""
    directions = (model.unembedding() / model.final_norm_scale()[:, None]).T

    def tell(x: Tensor, context: EditContext) -> Tensor:
        following = context.tokens.roll(-1, dims=1)
        return torch.where(context.mask[..., None], 1e3 * directions[following].to(x), x)

    return FunctionEdit(Site("resid_post", model.spec.n_layers - 1), tell)


def test_an_edit_acts_on_all_tokens_or_on_those_of_the_words(tiny: LanguageModel):
    asked = sheets(task_named("first_letter"), _WORDS, n_examples=(2,))
    plain = grade(tiny, asked)
    assert not any(g.is_correct for g in plain)
    assert all(g.is_correct for g in grade(tiny, asked, edits=[_speller(tiny)]))
    assert _rounded(grade(tiny, asked, edits=[_speller(tiny)], where="words")) == _rounded(plain), (
        "no answer is predicted at a word"
    )


def test_an_edit_of_the_words_reaches_the_answers(tiny: LanguageModel):
    seen: list[int] = []

    def zero(x: Tensor, context: EditContext) -> Tensor:
        seen.append(int(context.mask.sum()))
        return x * ~context.mask[..., None]

    asked = sheets(task_named("first_letter"), _WORDS, n_examples=(2,))
    changed = grade(tiny, asked, edits=[FunctionEdit(Site("resid_post", 0), zero)], where="words")
    assert sum(seen) == sum(g.n_tokens for g in changed)
    assert all(a.answer_log_prob != b.answer_log_prob for a, b in zip(changed, grade(tiny, asked), strict=True))


def _rounded(grades: list[Grade]) -> list[Grade]:
    return [
        g._replace(answer_log_prob=round(g.answer_log_prob, 9), prediction_log_prob=round(g.prediction_log_prob, 9))
        for g in grades
    ]


def test_logits_of_a_model_without_a_plain_end_are_read_from_a_whole_run(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    asked = sheets(task_named("spelling"), _WORDS, n_examples=(1,))
    quick = grade(tiny, asked)
    monkeypatch.setattr(LanguageModel, "can_unembed", False)
    assert _rounded(grade(tiny, asked)) == _rounded(quick)


def test_what_is_written_is_right_where_it_is_the_answer(bundled: LanguageModel):
    asked = [Prompt("", "Once upon a", answer, 0) for answer in (" time", " tim", " dragon")]
    assert [one.is_correct for one in written(bundled, asked)] == [True, False, False]
    assert all(one.text.startswith(" time") for one in written(bundled, asked))


def test_what_is_written_does_not_hang_on_the_batch(tiny: LanguageModel):
    prompter = Prompter(task=task_named("spelling"), examples=_WORDS, n_examples=1)
    prompts = [prompter(word) for word in (" onethree", " sun", " big")]
    for one, prompt in zip(written(tiny, prompts, batch_size=2), prompts, strict=True):
        alone = tiny.generate([prompt.text], max_new_tokens=len(one.text) + 1)[0].text
        assert len(one.text) > 0
        assert alone.startswith(one.text)


@pytest.mark.parametrize(
    ("text", "answer", "is_right", "goes_on"),
    [
        (" T\n and", " T", True, False),
        ("T", " T", True, False),
        (" T.", " T", True, False),
        (" Ta", " T", False, True),
        (" T-A", " T", False, True),
        (" T-A-R\n", " T-A-R", True, False),
        (" T-A", " T-A-R", False, False),
        (" T-A-R-T", " T-A-R", False, True),
        ("", " T", False, False),
        (" t", " T", False, False),
    ],
)
def test_an_answer_is_written_where_the_text_judged_it_and_ends_there(text: str, answer: str, is_right: bool, goes_on: bool):
    made = _judged(text, answer)
    assert made.is_correct is is_right
    assert made.is_begun is (is_right or goes_on)


def test_a_text_that_is_too_long_is_refused(tiny: LanguageModel):
    words = [f" {a}{b}{c}" for a in "abcdef" for b in "abcdef" for c in "abc"]
    with pytest.raises(ModelError, match="at most 512 tokens"):
        grade(tiny, sheets(task_named("spelling"), words, n_examples=(60,)))


def test_nothing_asked_is_nothing_graded(tiny: LanguageModel):
    assert grade(tiny, []) == written(tiny, []) == []
