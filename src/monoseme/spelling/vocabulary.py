"""Words out of a tokenizer's vocabulary.

A word here is a text of letters a to z, A to Z, with or without one leading space, as a token has it: " tartan". The space stays,
since it is what makes the word one token in the middle of a text.
"""

import re

from monoseme.models import LanguageModel

_WORD = re.compile(r" ?[A-Za-z]+")


def letters_of(word: str) -> str:
    """The word without its leading space, in capitals."""
    return word.strip().upper()


def is_alphabetic(text: str) -> bool:
    """Whether it is letters alone after an optional leading space."""
    return _WORD.fullmatch(text) is not None


def alphabetic_tokens(model: LanguageModel, *, leading_space: bool | None = None, min_letters: int = 1) -> list[str]:
    """The tokens of the vocabulary that are words, in the order of their ids.

    `leading_space`: only those with (True) or without one (False); None: both.
    """
    n_tokens = model.spec.vocab_size
    found = (text for text in model.decode_tokens(range(n_tokens)) if is_alphabetic(text))
    wanted = (text for text in found if leading_space is None or text.startswith(" ") is leading_space)
    return [text for text in wanted if len(text.strip()) >= min_letters]
