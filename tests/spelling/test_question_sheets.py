"""Sheets: every word has its turn after each number of examples."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel
from monoseme.spelling import Prompter, lay_out, lay_out_sheets, sheet_of, sheets, task_named

_TASK = task_named("first_letter")


def _words(n: int) -> list[str]:
    return [" " + chr(97 + i // 26) + chr(97 + i % 26) for i in range(n)]


@settings(max_examples=40)
@given(n_words=st.integers(5, 30), n_examples=st.sets(st.integers(0, 4), min_size=1), seed=st.integers(0, 3))
def test_every_word_is_asked_once_after_each_number_of_examples(n_words: int, n_examples: set[int], seed: int):
    made = sheets(_TASK, _words(n_words), n_examples=n_examples, seed=seed)
    asked = Counter((question.word, question.n_examples) for sheet in made for question in sheet.asked)
    assert asked == Counter((word, n) for word in _words(n_words) for n in n_examples)
    for sheet in made:
        lines = sheet.text.split("\n")
        assert lines[0] == ""
        assert len(lines) == max(n_examples) + 2
        words = [line.split()[0] for line in lines[1:]]
        assert len(set(words)) == len(words), "a word is no example of itself"
        for q in sheet.asked:
            line = _TASK.question(q.word) + q.answer
            assert sheet.text[q.word_start :].startswith(line)
            assert sheet.text[: q.answer_start].endswith(":")
            assert sheet.text[: q.word_start].count("\n") - 1 == q.n_examples


def test_fewer_examples_are_the_nearest_of_more():
    made = sheets(_TASK, _words(9), n_examples=(1, 3))
    before = {(q.word, q.n_examples): sheet.text[: q.word_start].split("\n")[1:-1] for sheet in made for q in sheet.asked}
    for word in _words(9):
        assert before[word, 1] == before[word, 3][-1:]


def test_the_order_hangs_on_the_seed():
    assert sheets(_TASK, _words(9), n_examples=(2,), seed=1) == sheets(_TASK, _words(9), n_examples=(2,), seed=1)
    assert sheets(_TASK, _words(9), n_examples=(2,), seed=1) != sheets(_TASK, _words(9), n_examples=(2,), seed=2)


def test_words_that_would_tell_each_others_answer_are_refused():
    with pytest.raises(ConfigError, match='" the" and "The" are the same letters'):
        sheets(_TASK, [" the", " of", "The"], n_examples=(1,))
    with pytest.raises(ConfigError, match="do not fill a sheet of 4"):
        sheets(_TASK, _words(3), n_examples=(3,))
    with pytest.raises(ConfigError, match="n_examples is"):
        sheets(_TASK, _words(3), n_examples=())
    with pytest.raises(ConfigError, match="no answer"):
        sheets(task_named("nth_start_3"), _words(3), n_examples=(1,))


def test_a_sheet_of_a_prompt_has_its_places(bundled: LanguageModel):
    prompter = Prompter(task=task_named("spelling"), examples=(" cat", " dog", " sun"), n_examples=2)
    prompts = [prompter(word) for word in (" tartan", "Hello")]
    batch, sheet = lay_out(bundled, prompts, with_answers=True), lay_out_sheets(bundled, [sheet_of(p) for p in prompts])
    assert sheet.row.tolist() == [0, 1]
    for name in ("tokens", "real", "word_first", "word_last", "answer_from", "answer_len"):
        assert getattr(batch, name).tolist() == getattr(sheet, name).tolist()


def test_places_of_every_line_are_found(bundled: LanguageModel):
    made = sheets(task_named("spelling"), [" tartan", " the", " cat", " onomatopoeia"], n_examples=(0, 1, 2))
    batch = lay_out_sheets(bundled, made)
    questions = [q for sheet in made for q in sheet.asked]
    for i, q in enumerate(questions):
        row, first, last, start, n = (int(column[i]) for column in batch[2:])
        tokens = bundled.decode_tokens(batch.tokens[row])
        assert "".join(tokens[first : last + 1]) == q.word
        assert tokens[start] == ":"
        assert "".join(tokens[start + 1 : start + 1 + n]) == q.answer
