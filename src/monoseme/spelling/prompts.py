"""Prompts that ask about a word after examples of other words, and where in their tokens the word and the answer are.

Nothing about positions is assumed: the word may be several tokens, and what a template makes of it is found from the
tokenizer's own offsets.

Letters: n prompts, S positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from monoseme.core.errors import ConfigError, ModelError
from monoseme.core.seeds import derive_seed
from monoseme.models import LanguageModel
from monoseme.spelling.tasks import LetterTask
from monoseme.spelling.vocabulary import letters_of
from monoseme.tensors.shapes import Bool, Int, Tensor


class Prompt(NamedTuple):
    """A question about a word, and the answer that is right."""

    word: str
    """With its leading space, if it has one."""
    text: str
    """Examples and question, up to the colon."""
    answer: str
    """How the text rightly goes on: " T"."""
    word_start: int
    """Where in `text` the word begins (characters)."""


class PromptBatch(NamedTuple):
    """Prompts as tokens, padded on the right. Positions count from the start of the row, special tokens at its head included."""

    tokens: Int[Tensor, "n S"]
    real: Bool[Tensor, "n S"]
    word_first: Int[Tensor, " n"]
    """First token of the word asked about."""
    word_last: Int[Tensor, " n"]
    """Its last token, where activations are read."""
    answer_from: Int[Tensor, " n"]
    """The token whose logits predict the first token of the answer: the last of the question."""
    answer_len: Int[Tensor, " n"]
    """Tokens of the answer that follow; 0 where prompts were laid out without answers."""


@dataclass(frozen=True, kw_only=True)
class Prompter:
    """Makes prompts of a task: examples drawn from `examples` anew for each word, which is never among them."""

    task: LetterTask
    examples: tuple[str, ...]
    """Words to draw examples from."""
    n_examples: int = 10
    """Examples before the question (count)."""
    seed: int = 0
    """Of the draws: a word's examples hang on it and on the word alone."""

    def __post_init__(self) -> None:
        if self.n_examples < 0:
            raise ConfigError(f"n_examples is {self.n_examples}; it must be at least 0")
        if self.n_examples >= max(len(self.examples), 1):
            raise ConfigError(
                f"n_examples is {self.n_examples}, but there are {len(self.examples)} words to draw examples from: give more"
            )

    def __call__(self, word: str) -> Prompt:
        """The prompt for a word. Raises ConfigError where the task has no answer for it, or too few examples differ from it."""
        lines = [self.task.question(example) + self.task.answer(example) for example in self._drawn(word)]
        before = "".join(f"\n{line}" for line in lines) + "\n"
        start = before.__len__() + self.task.template.index("{word}")
        return Prompt(word, before + self.task.question(word), self.task.answer(word), start)

    def _drawn(self, word: str) -> list[str]:
        """Different words, none of which is the word itself in another case or with another space."""
        rng = np.random.default_rng(derive_seed(self.seed, "examples", letters_of(word)))
        taken, found = {letters_of(word)}, list[str]()
        if not self.n_examples:
            return found
        for i in rng.permutation(len(self.examples)):
            example = self.examples[int(i)]
            if letters_of(example) not in taken and self.task.label(example) is not None:
                taken.add(letters_of(example))
                found.append(example)
                if len(found) == self.n_examples:
                    return found
        raise ConfigError(f'only {len(found)} words differ from "{word.strip()}" and can be examples of {self.task.name}')


def lay_out(model: LanguageModel, prompts: Sequence[Prompt], *, with_answers: bool = False) -> PromptBatch:
    """The tokens of the prompts and where the words are.

    Raises ModelError for a tokenizer that does not say where its tokens lie in the text, and where an answer does not begin with
    a token of its own.
    """
    if not model.tokenizer.is_fast:
        raise ModelError(
            f"the tokenizer of {model.config.model} does not say where its tokens lie in a text: the word in a prompt cannot "
            "be found.\n  Use a model with a fast tokenizer (tokenizer.json)."
        )
    rows = [_tokens(model, prompt, with_answer=with_answers) for prompt in prompts]
    length = max((len(row.ids) for row in rows), default=0)
    tokens = torch.zeros(len(rows), length, dtype=torch.int64)
    real = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row.ids)] = torch.tensor(row.ids)
        real[i, : len(row.ids)] = True
    places = torch.tensor([row.places for row in rows], dtype=torch.int64).reshape(len(rows), 4)
    return PromptBatch(tokens, real, *places.unbind(1))


class _Row(NamedTuple):
    ids: list[int]
    places: tuple[int, int, int, int]
    """word_first, word_last, answer_from, answer_len."""


def _tokens(model: LanguageModel, prompt: Prompt, *, with_answer: bool) -> _Row:
    text = prompt.text + prompt.answer if with_answer else prompt.text
    encoded = model.tokenizer(text, return_offsets_mapping=True, verbose=False)
    spans: list[tuple[int, int]] = encoded["offset_mapping"]
    first, last = _covering(spans, prompt.word_start, prompt.word_start + len(prompt.word), prompt.word)
    answer_from = max(i for i, (start, end) in enumerate(spans) if start < end <= len(prompt.text))
    n_answer = sum(end > len(prompt.text) for _, end in spans)
    if with_answer and spans[answer_from + 1][0] < len(prompt.text):
        raise ModelError(f'the answer "{prompt.answer}" does not begin a token of its own after the question')
    return _Row(list(encoded["input_ids"]), (first, last, answer_from, n_answer))


def _covering(spans: Sequence[tuple[int, int]], start: int, end: int, word: str) -> tuple[int, int]:
    """First and last token that hold characters of [start, end), a leading space alone not counted."""
    letters_from = end - len(word.strip())
    held = [i for i, (low, high) in enumerate(spans) if low < end and high > max(start, letters_from) and low < high]
    return held[0], held[-1]
