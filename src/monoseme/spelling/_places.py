"""Where words and answers are among the tokens of a text, from the offsets that the tokenizer gives."""

from collections.abc import Sequence
from typing import NamedTuple

from monoseme.core.errors import ModelError
from monoseme.models import LanguageModel

Span = tuple[int, int]
"""First character and the one after the last."""


class Encoded(NamedTuple):
    """A text as tokens."""

    text: str
    ids: list[int]
    spans: list[Span]
    """The characters of each token; empty for special tokens. Some tokenizers leave spaces at either end of a token out."""


class TokenPlaces(NamedTuple):
    """Positions in a row of tokens, special ones at its head included."""

    word_first: int
    word_last: int
    answer_from: int
    """The last token of the question."""
    answer_len: int
    """Tokens of the answer (count)."""


def encoded(model: LanguageModel, texts: Sequence[str]) -> list[Encoded]:
    """The texts with the special tokens that the tokenizer adds.

    Raises ModelError for a tokenizer that does not say where its tokens lie in the text.
    """
    if not model.tokenizer.is_fast:
        raise ModelError(
            f"the tokenizer of {model.config.model} does not say where its tokens lie in a text: the word in a prompt cannot "
            "be found.\n  Use a model with a fast tokenizer (tokenizer.json)."
        )
    if not texts:
        return []
    made = model.tokenizer(list(texts), return_offsets_mapping=True, verbose=False)
    return [Encoded(*row) for row in zip(texts, made["input_ids"], made["offset_mapping"], strict=True)]


def places_of(row: Encoded, word: Span, answer: Span) -> TokenPlaces:
    """Where a word and the answer to the question about it are; an empty `answer` stands at the end of the question.

    Raises ModelError where a token holds the end of the question and the start of the answer, or the answer and what follows it.
    """
    letters_from = word[1] - len(row.text[slice(*word)].lstrip())
    held = [i for i, span in enumerate(row.spans) if _overlap(span, (letters_from, word[1]))]
    asked = [i for i, (start, end) in enumerate(row.spans) if start < end <= answer[0]]
    told = [i for i, span in enumerate(row.spans) if _overlap(span, answer)]
    if not held or not asked:
        raise ModelError(f'no token of its own holds the word "{row.text[slice(*word)].strip()}" and the question after it')
    if told and (row.spans[told[0]][0] < answer[0] or row.spans[told[-1]][1] > answer[1]):
        raise ModelError(f'the answer "{row.text[slice(*answer)]}" does not begin or end with a token of its own')
    return TokenPlaces(held[0], held[-1], asked[-1], len(told))


def _overlap(first: Span, second: Span) -> bool:
    return max(first[0], second[0]) < min(first[1], second[1])
