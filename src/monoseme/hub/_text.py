"""Markdown made of text that nobody here wrote: what a model or a corpus says is shown, never obeyed."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

_SPECIAL = re.compile(r"[&<>\"'`*_\[\](){}#|\\~$!@:]|(?<=[wW])\.")
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Control characters, characters that turn the direction of writing, and those that end a line."""
_MOST = 240


def shown(text: str, *, most: int = _MOST) -> str:
    """The text as Markdown and HTML both show it letter by letter, on one line, cut at `most` characters.

    What either could read as markup, a link, a table or a formula becomes a character reference; what cannot be seen becomes
    U+FFFD, and a line's end a space. It is for the middle of a line.
    """
    plain = "".join(_visible(character) for character in text[: most + 1])
    cut = plain if len(plain) <= most else plain[: most - 1] + "…"
    return _SPECIAL.sub(lambda found: "".join(f"&#{ord(c)};" for c in found[0]), cut)


def _visible(character: str) -> str:
    if character in "\n\r\t\x0b\x0c\x85\u2028\u2029":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in _HIDDEN else character


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown already."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def front_matter(values: Mapping[str, Any]) -> str:
    """The YAML at the head of a card; what is None or empty is left out."""
    held = {key: value for key, value in values.items() if value not in (None, [], {}, "")}
    return f"---\n{yaml.safe_dump(held, sort_keys=False, allow_unicode=False, default_flow_style=False)}---\n"
