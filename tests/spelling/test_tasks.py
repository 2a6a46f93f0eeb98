"""What is asked of letters, and the right answers."""

import pytest

from monoseme.core.errors import ConfigError
from monoseme.spelling import LETTERS, task_named


@pytest.mark.parametrize(
    ("name", "question", "answer"),
    [
        ("spelling", " tartan:", " T-A-R-T-A-N"),
        ("first_letter", " tartan has the first letter:", " T"),
        ("last_letter", " tartan has the last letter:", " N"),
        ("nth_start_3", " tartan has the third letter:", " R"),
        ("nth_end_1", " tartan has the first letter from the end:", " N"),
        ("nth_end_2", " tartan has the second letter from the end:", " A"),
        ("contains_r", " tartan contains the letter R:", " Yes"),
        ("contains_E", " tartan contains the letter E:", " No"),
    ],
)
def test_each_task_asks_and_answers(name: str, question: str, answer: str):
    task = task_named(name)
    assert (task.question(" tartan"), task.answer(" tartan")) == (question, answer)
    assert question[task.word_at :].startswith(" tartan")
    assert task.classes is None or answer.strip() in task.classes


def test_a_word_that_is_too_short_has_no_answer():
    task = task_named("nth_start_3")
    assert task.label(" an") is None
    with pytest.raises(ConfigError, match='no answer for "an": it has 2 letters'):
        task.answer(" an")
    assert task_named("nth_end_2").label("an") == "A"


def test_letters_are_the_answers_in_alphabetic_order():
    assert "".join(task_named("first_letter").classes or ()) == LETTERS == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize("name", ["frist_letter", "nth_start_0", "nth_start_11", "contains_", "contains_ee"])
def test_an_unknown_task_is_refused_with_what_there_is(name: str):
    with pytest.raises(ConfigError, match="Allowed: spelling, first_letter"):
        task_named(name)
