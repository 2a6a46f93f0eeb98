"""Where a phrase stands in the text of an atlas, whatever tokens it is written in.

Tokens are matched letter by letter through the vocabulary, so a match may begin and end inside a token. It lies within one
segment: what a document goes on with in another context is not joined. A character whose bytes are split over tokens is shown as
U+FFFD, and cannot be found.

Letters: V vocabulary, M matches.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monoseme.atlas.roles import RoleFilter
from monoseme.atlas.text_store import TextStore
from monoseme.core.clean import clean_text
from monoseme.core.errors import ConfigError

_MOST_CHARACTERS = 1_000
_SLICE = 1 << 20
"""Tokens looked at at once."""


class Matches(NamedTuple):
    """Places of a phrase, arrays [M], in the order of the text store."""

    offset: NDArray[np.int64]
    """Of the first token, in the text store's arrays."""
    n_tokens: NDArray[np.int64]
    """Tokens the phrase touches (count)."""
    document: NDArray[np.int64]
    position: NDArray[np.int64]
    """Of the first token, in the document."""


class _Partial(NamedTuple):
    """Places at which so many characters of the phrase are matched."""

    start: NDArray[np.int64]
    next: NDArray[np.int64]
    end: NDArray[np.int64]
    """One past the last token of the segment."""


def find_phrase(text: TextStore, phrase: str, *, match_case: bool = False, only: RoleFilter | None = None) -> Matches:
    """Every place of the phrase; `only` keeps those whose first token is of some roles and turns.

    Raises ConfigError for an empty phrase, for one of more than 1,000 characters, and for bytes that are no text.
    """
    if not phrase or len(phrase) > _MOST_CHARACTERS:
        raise ConfigError(f"a phrase of {len(phrase):,} characters cannot be searched for: 1 to {_MOST_CHARACTERS:,} can.")
    if clean_text(phrase) != phrase:  # a command line gives bytes that are no UTF-8 as lone surrogates
        raise ConfigError("a phrase that is not valid UTF-8 is in no text.")
    vocabulary = _Vocabulary(text.vocabulary, phrase, match_case=match_case)
    found = [vocabulary.matched(text, first) for first in range(0, text.n_tokens, _SLICE)]
    offset = np.concatenate([np.empty(0, np.int64), *(part[0] for part in found)])
    n_tokens = np.concatenate([np.empty(0, np.int64), *(part[1] for part in found)])
    places = text.places_at(offset)
    matches = Matches(offset, n_tokens, places.document, places.position)
    if only is None or only.lets_all:
        return matches
    passed = text.passed(only, matches.document, matches.position)
    return Matches(*(column[passed] for column in matches))


class _Vocabulary:
    """Which tokens may begin a phrase, and which may go on with it."""

    def __init__(self, texts: list[str], phrase: str, *, match_case: bool) -> None:
        column = pa.array(texts, pa.string())
        lowered = column if match_case else pc.call_function("utf8_lower", [column])
        self._phrase = phrase if match_case else phrase.lower()
        self._texts: list[str] = lowered.to_pylist()
        whole = len(self._phrase)
        has_it = _flagged(lowered, "match_substring", self._phrase)
        self._begins: dict[int, NDArray[np.bool_]] = {whole: has_it}
        for n in range(1, whole):
            begins = _flagged(lowered, "ends_with", self._phrase[:n]) & ~has_it
            if begins.any():
                self._begins[n] = begins
        self._empty = np.array([not text for text in self._texts], dtype=bool)
        self._may_begin = np.logical_or.reduce(list(self._begins.values()))

    def matched(self, text: TextStore, first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Offsets and lengths of the matches that begin in a slice of the text."""
        tokens = text.tokens[first : first + _SLICE]
        start = first + np.nonzero(self._flags(self._may_begin, tokens))[0]
        end = text.places_at(start).end
        partial: dict[int, list[_Partial]] = {}
        for n, begins in self._begins.items():
            here = self._flags(begins, text.tokens[start])
            partial.setdefault(n, []).append(_Partial(start[here], start[here] + 1, end[here]))
        # a step always matches at least one character more, so each count is done before it is asked for
        for n in range(1, len(self._phrase)):
            for m, step in self._steps(text, n, partial.pop(n, [])):
                partial.setdefault(m, []).append(step)
        done = partial[len(self._phrase)]
        starts = np.concatenate([part.start for part in done])
        lengths = np.concatenate([part.next for part in done]) - starts
        order = np.lexsort((lengths, starts))
        starts, lengths = starts[order], lengths[order]
        is_new = np.ones(len(starts), dtype=bool)
        is_new[1:] = starts[1:] != starts[:-1]  # a token that can begin the phrase in two ways counts once, by the shorter
        return starts[is_new], lengths[is_new]

    def _steps(self, text: TextStore, n: int, parts: list[_Partial]) -> list[tuple[int, _Partial]]:
        """One token more: the new number of matched characters, and where."""
        if not parts:
            return []
        here = _Partial(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        here = self._past_empty(text, here)
        ids, which = np.unique(text.tokens[here.next], return_inverse=True)
        reached = np.array([self._reached(int(token), n) for token in ids], dtype=np.int64)[which]
        stepped = here._replace(next=here.next + 1)
        counts = np.unique(reached[reached > n]).tolist()
        return [(m, _Partial(*(column[reached == m] for column in stepped))) for m in counts]

    def _past_empty(self, text: TextStore, here: _Partial) -> _Partial:
        """The places that have a next token with a text; tokens that show nothing are stepped over."""
        while True:
            inside = here.next < here.end
            here = _Partial(*(column[inside] for column in here))
            is_empty = self._flags(self._empty, text.tokens[here.next])
            if not is_empty.any():
                return here
            here = here._replace(next=here.next + is_empty)

    def _reached(self, token: int, n: int) -> int:
        """Characters of the phrase that are matched when this token follows n of them; 0 where it cannot."""
        text = self._texts[token] if token < len(self._texts) else ""
        rest = self._phrase[n:]
        if text and rest.startswith(text):
            return n + len(text)
        return len(self._phrase) if text.startswith(rest) else 0

    def _flags(self, flags: NDArray[np.bool_], tokens: NDArray[np.uint32]) -> NDArray[np.bool_]:
        known = tokens < len(flags)
        return flags[np.where(known, tokens, 0)] & known if len(flags) else known


def _flagged(texts: pa.Array, test: str, pattern: str) -> NDArray[np.bool_]:
    return pc.call_function(test, [texts], pc.MatchSubstringOptions(pattern)).to_numpy(zero_copy_only=False)
