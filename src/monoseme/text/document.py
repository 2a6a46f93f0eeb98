"""A document as read from a corpus, before it is tokenised."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

ROLES = ("text", "template", "system", "user", "assistant", "tool", "other")
"""Role of a token by its code: "text" in plain documents, "template" for the tokens a chat template puts around the turns."""

MAX_PLACES_TOLD = 5
"""Broken rows told one by one; a corpus in the wrong format would otherwise tell a million."""


class Turn(NamedTuple):
    """One message of a conversation."""

    role: str
    content: str


class Document(NamedTuple):
    """One text of a corpus.

    `source` names what it comes from (a book, a row, a file); documents of one source are never split over training and
    held-out text. `row` is its place among the rows read, broken ones included. `turns` is set for conversations only;
    `text` is then empty until the chat template of a tokenizer is applied.
    """

    text: str
    source: str
    labels: Mapping[str, str]
    row: int
    turns: tuple[Turn, ...] | None = None


@dataclass
class CorpusFacts:
    """What was left out while reading; filled in as the reading goes on."""

    n_rows: int = 0
    """Rows read, broken ones included."""
    n_bad: int = 0
    """Rows that could not be read."""
    n_empty: int = 0
    """Rows whose text is empty."""
    n_short: int = 0
    """Documents with fewer tokens than `min_tokens`."""
    bad_places: list[str] = field(default_factory=list)
    """File, line and reason of the first broken rows."""


def role_code(role: str) -> int:
    """The code of a role in `ROLES`; unknown roles are "other"."""
    aliases = {"human": "user", "gpt": "assistant", "model": "assistant", "developer": "system", "function": "tool"}
    name = aliases.get(role.lower(), role.lower())
    return ROLES.index(name) if name in ROLES[2:] else ROLES.index("other")
