"""`LatentTable`: latents that were found, a row each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monoseme.api._html import framed, table
from monoseme.reports.plain_tables import aligned_table

_N_SHOWN = 50
"""Rows that a notebook shows (count); `rows` has all."""


@dataclass(frozen=True, kw_only=True)
class LatentTable:
    """Latents with what is known of them: hits of a search, or those that fire on a text."""

    rows: Sequence[Mapping[str, Any]]
    """Column -> value; every row has `latent`."""
    title: str = "Latents"
    note: str = ""

    @property
    def latents(self) -> list[int]:
        """Their numbers, in order."""
        return [int(row["latent"]) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        body = aligned_table([_on_one_line(row) for row in self.rows]) if self.rows else "none"
        return "\n".join(line for line in (self.title, body, self.note) if line)

    def _repr_html_(self) -> str:
        shown = table([_on_one_line(row) for row in self.rows[:_N_SHOWN]]) if self.rows else "<div>none</div>"
        left_out = len(self.rows) - _N_SHOWN
        more = f"{left_out:,} more in rows" if left_out > 0 else ""
        return framed(self.title, shown, note="; ".join(filter(None, (self.note, more))))


def _on_one_line(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is no printable character is written as Python writes it: text is not to be trusted."""
    return {name: _printable(value) if isinstance(value, str) else value for name, value in row.items()}


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
