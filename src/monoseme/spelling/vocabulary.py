"""Words out of a tokenizer's vocabulary, of a list, or common in a text; and words that differ in their first letter alone.

A word here is a text of letters a to z, A to Z, with or without one leading space, as a token has it: " tartan". The space stays,
since it is what makes the word one token in the middle of a text.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel

_WORD = re.compile(r" ?[A-Za-z]+")
_IN_TEXT = re.compile(r"(?<![\w'’-])[A-Za-z]+(?![\w'’-])")
"""Words that stand alone: no part of "don't", "twenty-one" or "x86"."""


def letters_of(word: str) -> str:
    """The word without its leading space, in capitals."""
    return word.strip().upper()


def is_alphabetic(text: str) -> bool:
    """Whether it is letters alone after an optional leading space."""
    return _WORD.fullmatch(text) is not None


def alphabetic_tokens(model: LanguageModel, *, leading_space: bool | None = None, min_letters: int = 1) -> list[str]:
    """The tokens of the vocabulary that are words, in the order of their ids; special tokens are none.

    `leading_space`: only those with (True) or without one (False); None: both.
    """
    ids = [i for i in range(model.spec.vocab_size) if i not in model.special_ids]
    found = dict.fromkeys(text for text in model.decode_tokens(ids) if is_alphabetic(text))
    wanted = (text for text in found if leading_space is None or text.startswith(" ") is leading_space)
    return [text for text in wanted if len(text.strip()) >= min_letters]


def read_words(path: Path) -> list[str]:
    """The words of a file with one in each line, each once; lines that are no word are left out, and how many is told.

    Raises ConfigError for a file that is not there, is no text, or has no word.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the words of {path} cannot be read: {error}.\n  Give a text file with one word in each line."
        ) from error
    words = [line for line in lines if is_alphabetic(line)]
    if not words:
        raise ConfigError(
            f"{path} has no line that is a word of the letters a to z.\n  Give a text file with one word in each line."
        )
    if n_others := sum(bool(line) for line in lines) - len(words):
        get_display().warn(f"{path}: {n_others:,} lines that are no word of the letters a to z were left out")
    return list(dict.fromkeys(words))


def common_words(texts: Iterable[str], *, known: Collection[str] | None = None, least: int = 10) -> dict[str, int]:
    """Words that occur at least `least` times in the texts, with how often, the commonest first; in lower case.

    `known`: a list of words, in the case of which they come and besides which none counts; it keeps names and misspellings out.
    sae-spelling counts Brown's words and keeps those of NLTK's list (`get_common_words`).
    """
    counts = Counter(word.lower() for text in texts for word in _IN_TEXT.findall(text))
    names = counts if known is None else dict.fromkeys(word.strip() for word in known)
    found = {word: counts[word.lower()] for word in names if counts[word.lower()] >= least}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def common_word_tokens(model: LanguageModel, common: Collection[str], *, leading_space: bool | None = True) -> list[str]:
    """The tokens that are one of the `common` words, case counting, as `alphabetic_tokens` gives them."""
    wanted = {word.strip() for word in common}
    return [token for token in alphabetic_tokens(model, leading_space=leading_space) if token.strip() in wanted]


def by_ending_and_length(words: Iterable[str]) -> dict[int, dict[str, list[str]]]:
    """Letters (count) -> what follows the first letter -> the words, where two or more share it; in the order of the words.

    Case counts; a word that comes twice is one. Words of one letter have no ending.
    """
    groups: dict[int, dict[str, list[str]]] = {}
    for word in dict.fromkeys(word.strip() for word in words):
        if len(word) > 1:
            groups.setdefault(len(word), {}).setdefault(word[1:], []).append(word)
    shared = {n: {ending: group for ending, group in of.items() if len(group) > 1} for n, of in groups.items()}
    return {n: of for n, of in shared.items() if of}


def same_ending_pairs(words: Iterable[str], *, n_letters: int) -> list[tuple[str, str]]:
    """Two words of that length that differ in their first letter alone, one pair of each ending: ("union", "onion").

    In lower case; in the order of the words, so that the commonest come first where the words do.
    """
    groups: Mapping[str, Sequence[str]] = by_ending_and_length(word.lower() for word in words).get(n_letters, {})
    return [(group[0], group[1]) for group in groups.values()]
