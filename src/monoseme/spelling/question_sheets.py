"""Questions with their answers one below another: each is answered with those above it as its examples.

One forward over a sheet asks about a word after no example, about the next after one, and so on. Where every word has its turn at
every line, all numbers of examples are measured at the price of the largest.

Letters: n rows, S positions, A questions.
"""

import itertools
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.models import LanguageModel
from monoseme.spelling._places import encoded, places_of
from monoseme.spelling.prompts import Prompt, padded
from monoseme.spelling.tasks import LetterTask
from monoseme.spelling.vocabulary import letters_of
from monoseme.tensors.shapes import Bool, Int, Tensor


class Question(NamedTuple):
    """A word of a sheet that the model is asked about."""

    word: str
    answer: str
    word_start: int
    """Where in the text the word begins (characters)."""
    answer_start: int
    """Where its answer begins, at the space before it; what is before is the question and its examples."""
    n_examples: int | None
    """Questions with answers before this one; None where that is not known."""


class Sheet(NamedTuple):
    """A text with questions in it, and which of them count."""

    text: str
    asked: tuple[Question, ...]


class SheetBatch(NamedTuple):
    """Sheets as tokens, padded on the right, and the places of their questions in the order of sheets and lines."""

    tokens: Int[Tensor, "n S"]
    real: Bool[Tensor, "n S"]
    row: Int[Tensor, " A"]
    """The sheet that a question is on."""
    word_first: Int[Tensor, " A"]
    word_last: Int[Tensor, " A"]
    answer_from: Int[Tensor, " A"]
    """The token whose logits predict the first token of the answer."""
    answer_len: Int[Tensor, " A"]
    """Tokens of the answer (count)."""


def sheet_of(prompt: Prompt) -> Sheet:
    """A prompt and its answer as a sheet with one question that counts."""
    question = Question(prompt.word, prompt.answer, prompt.word_start, len(prompt.text), None)
    return Sheet(prompt.text + prompt.answer, (question,))


def sheets(task: LetterTask, words: Sequence[str], *, n_examples: Collection[int] = (10,), seed: int = 0) -> list[Sheet]:
    """A sheet for each word, in which every word is asked once after each number of examples.

    The words stand in one order, drawn from `seed`; a word's examples are those before it, the last following the first. Fewer
    examples are thus the nearest of more. Each sheet begins with an empty line, as prompts do.
    Raises ConfigError for words that the task has no answer for, that are the same letters, or too few to fill a sheet.
    """
    if not n_examples or min(n_examples) < 0:
        raise ConfigError(f"n_examples is {sorted(n_examples)}; give one number or more, none below 0")
    _check(task, words, n_lines=max(n_examples) + 1)
    order = np.random.default_rng(derive_seed(seed, "sheets")).permutation(len(words))
    lines = [words[int(i)] for i in order]
    again = [*lines, *lines[: max(n_examples)]]
    return [_sheet(task, again[i : i + max(n_examples) + 1], frozenset(n_examples)) for i in range(len(lines))]


def _check(task: LetterTask, words: Sequence[str], *, n_lines: int) -> None:
    if len(words) < n_lines:
        raise ConfigError(f"{len(words)} words do not fill a sheet of {n_lines}: give more words, or fewer examples")
    seen: dict[str, str] = {}
    for word in words:
        task.answer(word)
        if (same := seen.setdefault(letters_of(word), word)) is not word:
            raise ConfigError(f'"{same}" and "{word}" are the same letters: one would be an example of the other')


def _sheet(task: LetterTask, words: Sequence[str], counted: frozenset[int]) -> Sheet:
    lines = [task.question(word) + task.answer(word) for word in words]
    starts = itertools.accumulate((len(line) + 1 for line in lines), initial=1)
    asked = [
        Question(word, task.answer(word), start + task.word_at, start + len(task.question(word)), i)
        for i, (word, start) in enumerate(zip(words, starts, strict=False))
        if i in counted
    ]
    return Sheet("\n" + "\n".join(lines), tuple(asked))


def lay_out_sheets(model: LanguageModel, given: Sequence[Sheet]) -> SheetBatch:
    """The tokens of the sheets and where words and answers are. Raises ModelError as `lay_out` does."""
    rows = encoded(model, [sheet.text for sheet in given])
    places = [
        (i, *places_of(row, (q.word_start, q.word_start + len(q.word)), (q.answer_start, q.answer_start + len(q.answer))))
        for i, (row, sheet) in enumerate(zip(rows, given, strict=True))
        for q in sheet.asked
    ]
    columns = torch.tensor(places, dtype=torch.int64).reshape(len(places), 5).unbind(1)
    return SheetBatch(*padded([row.ids for row in rows]), *columns)
