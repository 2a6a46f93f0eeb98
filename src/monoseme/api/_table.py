"""`Table`: rows of a study or of an evaluation, shown as a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monoseme.api._html import framed, table
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.reports.plain_tables import aligned_table

_N_SHOWN = 50
"""Rows that a notebook shows (count)."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows with the same columns. `rows` are plain dictionaries, as pandas and polars take them."""

    rows: Sequence[Mapping[str, Any]]
    title: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.rows[0]) if self.rows else ()

    def only(self, *columns: str) -> "Table":
        """The same with these columns alone. Raises ConfigError for one there is not."""
        for name in columns:
            if name not in self.columns:
                raise ConfigError(
                    f'there is no column "{name}".{suggest(name, self.columns)}\n  There is: {", ".join(self.columns)}'
                )
        return Table(rows=[{name: row[name] for name in columns} for row in self.rows], title=self.title)

    def where(self, column: str, *values: Any) -> "Table":
        """The rows that have one of these values in a column. Raises ConfigError for a column there is not."""
        if self.rows and column not in self.columns:
            raise ConfigError(f'there is no column "{column}".{suggest(column, self.columns)}')
        return Table(rows=[row for row in self.rows if row[column] in values], title=self.title)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return "\n".join(filter(None, (self.title, aligned_table(self.rows))))

    def _repr_html_(self) -> str:
        left_out = len(self.rows) - _N_SHOWN
        return framed(self.title, table(self.rows[:_N_SHOWN]), note=f"{left_out:,} more in rows" if left_out > 0 else "")
