"""Which words a study asks about: one of each spelling, evenly over lengths."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.models import LanguageModel
from monoseme.spelling import LetterTask, alphabetic_tokens, common_words, letters_of, read_words


class WordChoice(NamedTuple):
    """Where words come from, and which of them count."""

    path: str | None
    """File with one word in each line; None: the vocabulary."""
    leading_space: bool
    """Whether they are asked about with a space before them."""
    least_letters: int
    least_count: int | None
    """Times that they must occur in the texts; None: however rare."""


def words_there(model: LanguageModel, choice: WordChoice, texts: Iterable[str]) -> list[str]:
    """The words that may be asked about, in the order of their list or of the vocabulary.

    Of those with the same letters the first stays: as an example one would tell the other's answer. `texts` are read only where
    words are counted. Raises ConfigError where no word is left.
    """
    space = " " if choice.leading_space else ""
    if choice.path is None:
        found = alphabetic_tokens(model, leading_space=choice.leading_space)
    else:
        found = [space + word for word in read_words(Path(choice.path))]
    if choice.least_count is not None:
        common = common_words(texts, least=choice.least_count)
        found = [word for word in found if word.strip().lower() in common]
    by_letters = {letters_of(word): word for word in reversed(found) if len(word.strip()) >= choice.least_letters}
    kept = [word for word in found if by_letters.get(letters_of(word)) == word]
    if not kept:
        raise ConfigError(
            f"no word of {choice.path or 'the vocabulary'} is left.\n"
            "  Lower --least_letters or --least_count, or give words with --words FILE"
        )
    return list(dict.fromkeys(kept))


def chosen(words: Sequence[str], task: LetterTask, *, n_words: int, seed: int) -> list[str]:
    """At most n words that the task has an answer for, as many of each length as there are, drawn from `seed`.

    A vocabulary has few long words: drawn as they come, they would be too few to tell anything of.
    """
    able = [word for word in words if task.label(word) is not None]
    order = np.random.default_rng(derive_seed(seed, "words", task.name)).permutation(len(able))
    turns: dict[int, int] = {}
    ranked: list[tuple[int, int]] = []
    for i in order.tolist():
        n_letters = len(able[i].strip())
        turns[n_letters] = turns.get(n_letters, 0) + 1
        ranked.append((turns[n_letters], i))
    return [able[i] for _, i in sorted(ranked)[:n_words]]
