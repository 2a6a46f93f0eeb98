"""Prompts that ask about a word after examples of other words, and where in their tokens the word and the answer are.

Nothing about positions is assumed: the word may be several tokens, and what a template makes of it is found from the
tokenizer's own offsets.

Letters: n prompts, S positions, C answers.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from monoseme.core.errors import ConfigError, ModelError
from monoseme.core.seeds import derive_seed
from monoseme.models import LanguageModel
from monoseme.spelling._places import Encoded, encoded, places_of
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
    leading_newline: bool = True
    """Begin with an empty line, as SAEBench does: the first word then stands where all others stand, after a line's end, and is
    the same tokens. sae-spelling begins with the first example itself."""

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
        before = "\n".join(["", *lines, ""] if self.leading_newline else [*lines, ""])
        start = len(before) + self.task.word_at
        return Prompt(word, before + self.task.question(word), self.task.answer(word), start)

    def _drawn(self, word: str) -> list[str]:
        """Different words, none of which is the word itself in another case or with another space."""
        rng = np.random.default_rng(derive_seed(self.seed, "examples", letters_of(word)))
        taken, found = {letters_of(word)}, list[str]()
        if not self.n_examples:
            return found
        n = len(self.examples)
        # A few draws nearly always do; where they do not, every word is tried once.
        few = (int(i) for i in rng.integers(n, size=4 * self.n_examples))
        rest = (int(i) for i in rng.permutation(n))
        for i in itertools.chain(few, rest):
            example = self.examples[i]
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
    rows = encoded(model, [prompt.text + prompt.answer if with_answers else prompt.text for prompt in prompts])
    places = [_places(row, prompt, with_answer=with_answers) for row, prompt in zip(rows, prompts, strict=True)]
    columns = torch.tensor(places, dtype=torch.int64).reshape(len(rows), 4).unbind(1)
    return PromptBatch(*padded([row.ids for row in rows]), *columns)


def padded(rows: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "n S"], Bool[Tensor, "n S"]]:
    """Token ids padded on the right, and which of them are real. Attention of real tokens never looks at what follows them."""
    shape = (len(rows), max((len(row) for row in rows), default=0))
    tokens, real = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row)
        real[i, : len(row)] = True
    return tokens, real


def answer_tokens(model: LanguageModel, task: LetterTask) -> Int[Tensor, " C"]:
    """The first token of each answer in the order of `task.classes`, as it stands after a question: " A" to " Z" for letters.

    Raises ConfigError for a task whose answers are as many as words, and ModelError where two answers begin alike: the model has
    no alphabet of single tokens.
    """
    if task.classes is None:
        raise ConfigError(f"the task {task.name} has no fixed set of answers")
    question = "\n" + task.question(" word")
    rows = encoded(model, [f"{question} {label}" for label in task.classes])
    spans = [(len(question), len(question) + 1 + len(label)) for label in task.classes]
    word = (1 + task.word_at, 1 + task.word_at + len(" word"))
    first = [row.ids[places_of(row, word, span).answer_from + 1] for row, span in zip(rows, spans, strict=True)]
    seen: dict[int, str] = {}
    for token, label in zip(first, task.classes, strict=True):
        if token in seen:
            raise ModelError(
                f'the answers "{seen[token]}" and "{label}" of {task.name} begin with the same token of {model.config.model}: '
                "its vocabulary has no alphabet"
            )
        seen[token] = label
    return torch.tensor(first, dtype=torch.int64)


def _places(row: Encoded, prompt: Prompt, *, with_answer: bool) -> tuple[int, int, int, int]:
    """word_first, word_last, answer_from, answer_len."""
    end = len(prompt.text)
    word = (prompt.word_start, prompt.word_start + len(prompt.word))
    return places_of(row, word, (end, end + len(prompt.answer) if with_answer else end))
