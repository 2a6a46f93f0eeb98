"""Signs that a token's text gives, each as a number: what the offline explainer chooses from.

A **family** is a kind of sign; a position has one code per column of the family, or NONE. All signs look back only, since the
latent itself cannot see what follows. Codes are the same in every process, so stored explanations can be scored later.

Letters: n positions, C columns, V vocabulary.
"""

import hashlib
import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.evidence import Places
from monoseme.atlas.text_store import TextStore

NONE = -1
"""The code of "no such sign here"."""
N_RECENT = 8
"""How far back (tokens) `recent` looks."""
_SHAPES = (
    "a line break", "white space", "numbers", "punctuation", "all-capital text", "capitalised words", "beginnings of words",
    "tokens inside words",
)  # fmt: skip
_PLACES = (
    "the first token of a document", "the first 8 tokens of a document", "the first 32 tokens of a document",
    "the first token of a context",
)  # fmt: skip


class Family(NamedTuple):
    """A kind of sign."""

    name: str
    columns: slice
    cost: float
    """Share of firings by which a more complicated sign must do better than a simple one to be chosen."""


FAMILIES = (
    Family("token", slice(0, 1), 0.0),
    Family("word", slice(1, 2), 0.0),
    Family("shape", slice(2, 3), 0.0),
    Family("place", slice(3, 4), 0.0),
    Family("source", slice(4, 5), 0.01),
    Family("previous", slice(5, 6), 0.005),
    Family("pair", slice(6, 7), 0.005),
    Family("triple", slice(7, 8), 0.01),
    Family("recent", slice(8, 8 + N_RECENT), 0.02),
)
COLUMNS = {family.name: family.columns for family in FAMILIES}
N_COLUMNS = 8 + N_RECENT


class SignReader:
    """Reads signs off the text of one atlas."""

    def __init__(self, text: TextStore) -> None:
        self._text = text
        n_tokens = len(text.token_counts)
        self._base = n_tokens + 1
        words = [text.token_text(token) for token in range(n_tokens)]
        # the last entry is for -1, what lies outside the segment
        self._starts_word = np.array([_starts_word(word) for word in words] + [True])
        self._ends_word = np.array([not word or not word[-1].isalnum() for word in words] + [True])
        self._shape = np.array([_shape(word) for word in words] + [NONE], dtype=np.int64)
        self._words: dict[int, str] = {}

    def codes(self, places: Places) -> NDArray[np.int64]:
        """Codes of all families at each place, [n, C]."""
        back = self._text.gather(places.document, places.position, range(-N_RECENT, 1))
        token, previous, third = back[:, -1], back[:, -2], back[:, -3]
        codes = np.full((len(back), N_COLUMNS), NONE, dtype=np.int64)
        codes[:, 0] = token
        codes[:, 1] = self._word_codes(back)
        codes[:, 2] = self._shape[token]
        codes[:, 3] = _place_codes(places.position, previous)
        codes[:, 4] = self._text.sources_of(places.document, places.position)
        codes[:, 5] = previous
        codes[:, 6] = np.where(previous >= 0, previous * self._base + token, NONE)
        codes[:, 7] = np.where(third >= 0, (third * self._base + previous) * self._base + token, NONE)
        codes[:, 8:] = back[:, :-1]
        return codes

    def goes_on(self, places: Places) -> NDArray[np.bool_]:
        """Whether the word at each place goes on with the next token, [n]; False where the segment ends there."""
        around = self._text.gather(places.document, places.position, (0, 1))
        return ~self._ends_word[around[:, 0]] & ~self._starts_word[around[:, 1]]

    def describe(self, family: str, code: int) -> str:
        """A sign as people read it, strings in JSON's quotes so that spaces and control characters show."""
        if family in ("token", "previous", "recent"):
            return quote(self._text.token_text(code))
        if family in ("pair", "triple"):
            return quote("".join(self._text.token_text(token) for token in self._tokens_of(family, code)))
        if family == "word":
            return quote(self._words.get(code, "?"))
        if family == "source":
            return quote(self._text.source_names.get(code, str(code)))
        return _SHAPES[code] if family == "shape" else _PLACES[code]

    def _tokens_of(self, family: str, code: int) -> list[int]:
        tokens: list[int] = []
        for _ in range(2 if family == "pair" else 3):
            code, token = divmod(code, self._base)
            tokens.insert(0, token)
        return tokens

    def _word_codes(self, back: NDArray[np.int64]) -> NDArray[np.int64]:
        """The word up to and with the token, lower case and without white space, as a hash."""
        starts = self._starts_word[back]
        starts[:, 1:] |= self._ends_word[back[:, :-1]]
        # a token belongs to the word if no later one, the current included, begins a word
        later_starts = np.cumsum(starts[:, ::-1], axis=1)[:, ::-1] - starts
        inside = np.where(later_starts == 0, back, -1)
        distinct, which = np.unique(inside, axis=0, return_inverse=True)
        codes = np.full(len(distinct), NONE, dtype=np.int64)
        for i, row in enumerate(distinct.tolist()):
            word = "".join(self._text.token_text(token) for token in row if token >= 0).strip().lower()
            if word:
                codes[i] = _hash_word(word)
                self._words[int(codes[i])] = word
        return codes[which.reshape(-1)]


def quote(text: str) -> str:
    """The text in JSON's quotes: control characters are spelt out, nothing is lost."""
    return json.dumps(text, ensure_ascii=False)


def _hash_word(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) >> 2  # fits a signed 64-bit number


def _starts_word(text: str) -> bool:
    return not text or not text[0].isalnum()


def _shape(text: str) -> int:
    bare = text.strip()
    if not bare:
        return 0 if "\n" in text else 1
    if bare.isdigit():
        return 2
    if not any(letter.isalnum() for letter in bare):
        return 3
    if len(bare) > 1 and bare.isupper():
        return 4
    if bare[0].isupper():
        return 5
    return 6 if _starts_word(text) else 7


def _place_codes(positions: NDArray[np.int64], previous: NDArray[np.int64]) -> NDArray[np.int64]:
    conditions = [positions == 0, previous < 0, positions < 8, positions < 32]
    return np.select(conditions, [0, 3, 1, 2], default=NONE)
