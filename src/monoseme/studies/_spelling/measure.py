"""Asking a model about words, as it is and with an SAE in place, and keeping what it answered."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from monoseme.core.errors import SiteError
from monoseme.core.files import write_atomic
from monoseme.models import Edit, LanguageModel
from monoseme.spelling import Grade, LetterTask, Prompt, Where, Written, grade, sheets, written
from monoseme.studies._kept_files import reading

MODEL = "model"
"""The subject that is the model as it is."""


class Examination(NamedTuple):
    """One task with its words, as every subject gets it."""

    task: LetterTask
    words: tuple[str, ...]
    n_examples: tuple[int, ...]
    n_written: int
    """Words that the model also writes the answer to, after the most examples (count)."""
    where: Where
    seed: int


class Answers(NamedTuple):
    """What one subject answered in one task."""

    task: LetterTask
    subject: str
    grades: list[Grade]
    written: dict[str, Written] | None
    """Word -> what was written; None where the subject cannot write."""


def examine(model: LanguageModel, exam: Examination, subject: str, edits: Sequence[Edit]) -> Answers:
    """Grades every word after each number of examples, and lets the model write. Raises what `grade` raises."""
    asked = sheets(exam.task, exam.words, n_examples=exam.n_examples, seed=exam.seed)
    grades = grade(model, asked, task=exam.task, edits=edits, where=exam.where)
    last = {g.word: g for g in grades if g.n_examples == max(exam.n_examples)}
    prompts = [Prompt(g.word, g.prompt, g.answer, 0) for g in (last[word] for word in exam.words[: exam.n_written])]
    return Answers(exam.task, subject, grades, _written(model, exam, prompts, edits))


def _written(
    model: LanguageModel, exam: Examination, prompts: Sequence[Prompt], edits: Sequence[Edit]
) -> dict[str, Written] | None:
    """None for an SAE of whole contexts that cannot follow a text as it is written, and for edits of the words alone."""
    if edits and exam.where == "words":
        return None
    try:
        made = written(model, prompts, edits=edits)
    except SiteError:
        return None
    return {prompt.word: one for prompt, one in zip(prompts, made, strict=True)}


def write_answers(path: Path, answers: Answers) -> None:
    """As JSON: the columns of the grades, a list each, and what was written."""
    columns = {name: [getattr(g, name) for g in answers.grades] for name in Grade._fields}
    kept = {"grades": columns, "written": answers.written}
    write_atomic(path, json.dumps(kept, ensure_ascii=False))


def read_answers(path: Path, task: LetterTask, subject: str) -> Answers:
    """What `write_answers` wrote. Raises ArtifactDamagedError."""
    with reading(path):
        kept = json.loads(path.read_text(encoding="utf-8"))
        grades = [Grade(*row) for row in zip(*(kept["grades"][name] for name in Grade._fields), strict=True)]
        made = kept["written"]
        return Answers(task, subject, grades, None if made is None else {word: Written(*one) for word, one in made.items()})
