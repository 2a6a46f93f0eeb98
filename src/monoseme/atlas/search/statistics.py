"""A small language for statements about latents, such as `density < 0.01 and detection_balanced_accuracy > 0.8`.

    statement  := and-terms joined by "or"; terms joined by "and"; "not" before a term; parentheses
    term       := COLUMN op VALUE  |  COLUMN is missing  |  COLUMN is not missing
    op         := <  <=  >  >=  =  ==  !=  ~        (~ : the text contains, case aside)
    VALUE      := a number, "a text", true, false, or another COLUMN

A latent of which a value is missing fulfils no comparison with it. Statements become SQL with every name checked against the
table's columns and every value bound, so that nothing that is typed is ever run.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError

_WORD = re.compile(
    r"""\s*(?:(?P<number>[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|"(?P<text>[^"]*)"|(?P<name>[^\W\d][\w.]*)"""
    r"""|(?P<op><=|>=|==|!=|<|>|=|~|\(|\)))"""
)
_MOST_CHARACTERS = 2_000
_MOST_NESTED = 40
_COMPARISONS = ("<", "<=", ">", ">=", "=", "==", "!=", "~")


class Condition(NamedTuple):
    """A statement as SQL over given columns."""

    sql: str
    values: tuple[Any, ...]
    """Bound to the question marks, in order."""


class _Word(NamedTuple):
    kind: str
    """number, text, name, op or end."""
    text: str
    place: int


def parse_condition(statement: str, types: Mapping[str, str]) -> Condition:
    """What a statement means for a table with these columns; `types` maps each to its type in DuckDB.

    Raises ConfigError with the place, what was found there and what may stand there.
    """
    if len(statement) > _MOST_CHARACTERS:
        raise ConfigError(f"a statement of {len(statement):,} characters is too long: {_MOST_CHARACTERS:,} are allowed.")
    parser = _Parser(_words(statement), types)
    found = parser.any_of(0)
    parser.expect_end()
    return found


def _words(statement: str) -> list[_Word]:
    words, place = [], 0
    while statement[place:].strip():
        match = _WORD.match(statement, place)
        if match is None or match.lastgroup is None:
            rest = statement[place:].lstrip()
            raise ConfigError(f"nothing in a statement begins with {rest[:20]!r}.\n  An example:  density < 0.01 and max > 3")
        words.append(_Word(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        place = match.end()
    return [*words, _Word("end", "", len(statement))]


class _Parser:
    """Goes through the words once, from left to right."""

    def __init__(self, words: list[_Word], types: Mapping[str, str]) -> None:
        self._words, self._types, self._at = words, types, 0

    def any_of(self, depth: int) -> Condition:
        """Terms joined by "or"."""
        if depth > _MOST_NESTED:
            raise ConfigError(f"a statement may be nested {_MOST_NESTED} deep, but not deeper.")
        return self._joined("or", lambda: self._joined("and", lambda: self._term(depth)))

    def expect_end(self) -> None:
        """Raises ConfigError if words are left."""
        if self._now.kind != "end":
            raise self._error("and, or, or the end")

    @property
    def _now(self) -> _Word:
        return self._words[self._at]

    def _joined(self, word: str, part: Any) -> Condition:
        parts = [part()]
        while self._takes(word):
            parts.append(part())
        if len(parts) == 1:
            return parts[0]
        sql = f" {word.upper()} ".join(f"({p.sql})" for p in parts)
        return Condition(sql, tuple(value for p in parts for value in p.values))

    def _term(self, depth: int) -> Condition:
        negations = 0
        while self._takes("not"):
            negations += 1
        if self._takes("("):
            found = self.any_of(depth + 1)
            if not self._takes(")"):
                raise self._error("a closing parenthesis")
        else:
            found = self._comparison()
        return found if negations % 2 == 0 else found._replace(sql=f"NOT ({found.sql})")

    def _comparison(self) -> Condition:
        column = self._column()
        if self._takes("is"):
            negated = self._takes("not")
            if not self._takes("missing"):
                raise self._error("missing")
            return Condition(f"{_quoted(column)} IS {'NOT ' if negated else ''}NULL", ())
        op = self._now.text
        if self._now.kind != "op" or op not in _COMPARISONS:
            raise self._error(f"one of {' '.join(_COMPARISONS)}, or: is missing")
        self._at += 1
        return self._contains(column) if op == "~" else self._compared(column, op)

    def _contains(self, column: str) -> Condition:
        if self._now.kind != "text":
            raise self._error('a text in quotation marks, such as "cat"')
        kind, text = self._kind(column), self._next().text
        if kind not in ("text", "texts"):
            raise ConfigError(f"{column} holds no text, so ~ does not go with it.")
        held = _quoted(column) if kind == "text" else f"array_to_string({_quoted(column)}, chr(10))"
        return Condition(f"contains(lower({held}), lower(?))", (text,))

    def _compared(self, column: str, op: str) -> Condition:
        sql, word = "=" if op == "==" else op, self._now
        if word.kind == "name" and word.text.lower() not in ("true", "false"):
            other = self._column()
            if self._kind(other) != self._kind(column):
                raise ConfigError(f"{column} and {other} cannot be compared: one is a {self._kind(column)}.")
            return Condition(f"{_quoted(column)} {sql} {_quoted(other)}", ())
        value: Any
        if word.kind == "number":
            kind, value = "number", float(word.text.replace("_", ""))
        elif word.kind == "text":
            kind, value = "text", word.text
        elif word.kind == "name":
            kind, value = "truth", word.text.lower() == "true"
        else:
            raise self._error("a number, a text in quotation marks, true, false, or a column")
        self._at += 1
        if kind != self._kind(column):
            raise ConfigError(f"{column} is a {self._kind(column)}, and cannot be compared with the {kind} {word.text}.")
        return Condition(f"{_quoted(column)} {sql} ?", (value,))

    def _column(self) -> str:
        if self._now.kind != "name":
            raise self._error("a column")
        name = self._next().text
        if name not in self._types:
            held = ", ".join(self._types)
            raise ConfigError(f'latents have no column "{name}".{suggest(name, list(self._types))}\n  Columns: {held}')
        return name

    def _kind(self, column: str) -> str:
        name = self._types[column].upper()
        if name.endswith("[]"):
            return "texts" if name.startswith("VARCHAR") else "list"
        return {"VARCHAR": "text", "BOOLEAN": "truth"}.get(name, "number")

    def _takes(self, text: str) -> bool:
        found = self._now.kind in ("name", "op") and self._now.text.lower() == text
        self._at += found
        return found

    def _next(self) -> _Word:
        self._at += 1
        return self._words[self._at - 1]

    def _error(self, allowed: str) -> ConfigError:
        found = f'"{self._now.text}"' if self._now.kind != "end" else "the end"
        return ConfigError(f"at character {self._now.place + 1} of the statement stands {found}.\n  Allowed there: {allowed}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
