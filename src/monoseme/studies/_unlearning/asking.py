"""Asking a model multiple-choice questions: which letter it finds likeliest next, with edits in place.

Letters: n prompts of a batch, S positions, V vocabulary, C choices.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch

from monoseme.core.display import get_display
from monoseme.core.errors import ModelError
from monoseme.models import LanguageModel
from monoseme.models.edit import Edit
from monoseme.studies._unlearning.questions import LETTERS, Question, QuestionSet
from monoseme.tensors.shapes import Float, Tensor

Style = Literal["auto", "chat", "plain"]


class _Asked(NamedTuple):
    """One prompt."""

    ids: list[int]
    answer: int
    n_choices: int


class Examiner:
    """Asks one model.

    In the style "chat" the question is a user's turn by the tokenizer's template and the model's turn begins "Answer: ("; in
    the style "plain" a line "Answer:" follows the question. "auto": chat where the tokenizer has a template.
    """

    def __init__(self, model: LanguageModel, *, style: Style = "auto", batch_size: int = 8) -> None:
        """Raises ModelError for the style chat without a template, and for a tokenizer that has no tokens for letters."""
        has_template = model.tokenizer.chat_template is not None
        if style == "chat" and not has_template:
            raise ModelError(f"the tokenizer of {model.config.model} has no chat template.\n  Ask in the style plain.")
        self._model, self._batch_size = model, batch_size
        self._as_chat = has_template if style == "auto" else style == "chat"
        self._letters = [_letter_ids(model, letter) for letter in LETTERS]

    def right(self, held: QuestionSet, *, edits: Sequence[Edit] = ()) -> list[bool]:
        """For each question, in the order of its choices, whether the letter of the right one is the likeliest of all letters.

        Raises ModelError for a prompt that the model is too short for.
        """
        asked = [self._asked(held, question) for question in held.questions]
        by_length = sorted(range(len(asked)), key=lambda i: len(asked[i].ids))
        found = [False] * len(asked)
        for start in range(0, len(asked), self._batch_size):
            rows = by_length[start : start + self._batch_size]
            for i, is_right in zip(rows, self._batch([asked[i] for i in rows], edits), strict=True):
                found[i] = is_right
        return found

    def known(self, held: QuestionSet) -> list[int]:
        """Which questions the unedited model answers right in every order of their choices.

        A question is asked in the next order only while it was right in all before, which leaves the answer as it is and saves
        most forwards. Raises as `right`.
        """
        left = list(range(len(held.questions)))
        n_orders = [math.factorial(len(question.choices)) for question in held.questions]
        with get_display().progress(f"what the model knows of {held.name}", total=max(n_orders), unit="orders") as progress:
            for turn in range(max(n_orders)):
                again = [i for i in left if turn < n_orders[i]]
                asked = tuple(_in_order(held.questions[i], turn) for i in again)
                wrong = {i for i, is_right in zip(again, self.right(held._replace(questions=asked)), strict=True) if not is_right}
                left = [i for i in left if i not in wrong]
                progress.advance(1)
        return left

    def _asked(self, held: QuestionSet, question: Question) -> _Asked:
        prompt, tokenizer = held.prompt(question), self._model.tokenizer
        if not self._as_chat:
            return _Asked(self._model.encode(f"{prompt}\nAnswer:"), question.answer, len(question.choices))
        turn = [{"role": "user", "content": prompt}]
        opened: str = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        encoded: Any = tokenizer(f"{opened}Answer: (", add_special_tokens=False, verbose=False)  # the template has its own BOS
        return _Asked(list(encoded["input_ids"]), question.answer, len(question.choices))

    def _batch(self, asked: Sequence[_Asked], edits: Sequence[Edit]) -> list[bool]:
        length = max(len(each.ids) for each in asked)
        tokens = torch.zeros(len(asked), length, dtype=torch.int64)
        real = torch.zeros(len(asked), length, dtype=torch.bool)
        for i, each in enumerate(asked):
            tokens[i, : len(each.ids)] = torch.tensor(each.ids)
            real[i, : len(each.ids)] = True
        device = self._model.device
        logits = self._model.run(tokens.to(device), real=real.to(device), edits=edits).logits
        rows = range(len(asked))
        return [self._picked(logits[i, len(asked[i].ids) - 1], asked[i].n_choices) == asked[i].answer for i in rows]

    def _picked(self, logits: Float[Tensor, " V"], n_choices: int) -> int:
        """The likeliest letter, of each the likelier of its tokens; of equal ones the first."""
        of_letters = [float(logits[ids].max()) for ids in self._letters[:n_choices]]
        return of_letters.index(max(of_letters))


def _in_order(question: Question, turn: int) -> Question:
    """The question in the `turn`-th order of its choices; the 0-th is its own."""
    orders = itertools.permutations(range(len(question.choices)))
    return question.reordered(next(itertools.islice(orders, turn, None)))


def _letter_ids(model: LanguageModel, letter: str) -> list[int]:
    """The tokens that are this letter, with a space before it or without."""
    spelled = [model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in (letter, f" {letter}")]
    found = sorted({ids[0] for ids in spelled if len(ids) == 1})
    if not found:
        raise ModelError(f'the tokenizer of {model.config.model} has no token "{letter}": its answers cannot be told apart')
    return found
