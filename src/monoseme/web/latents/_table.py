"""The table of latents of one SAE, in memory and queried with DuckDB: sorted, filtered and cut into pages on the server.

`monoseme.atlas` has a table too; this one also filters (dead, density, score) and names the tokens a latent fires on.
"""

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from monoseme.web.latents._query import LatentQuery
from monoseme.web.latents.answers import LatentRow, LatentTable

COLUMNS = pa.schema(
    [
        ("index", pa.int64()),
        ("density", pa.float64()),
        ("max", pa.float64()),
        ("explanation", pa.string()),
        ("score", pa.float64()),
        ("top_tokens", pa.list_(pa.string())),
    ]
)
"""What a table of latents has to hold; missing numbers and explanations are null."""

_STATES = {"all": "true", "alive": "density > 0", "dead": "density = 0", "explained": "explanation IS NOT NULL"}
_ORDER = {"index": '"index"', "density": "density", "max": '"max"', "score": "score", "explanation": "words"}


_SELECTED = ", ".join(f'"{name}"' for name in COLUMNS.names)


class _Where(NamedTuple):
    sql: str
    values: list[str | float | int]


class LatentsTable:
    """All latents of one SAE. Safe to ask from several threads."""

    def __init__(self, latents: pa.Table, *, sae: str, score_name: str = "") -> None:
        """`latents` has the columns of COLUMNS, in any order, one row per latent."""
        self._sae, self._score_name = sae, score_name
        self._lock = threading.Lock()
        self._connection = duckdb.connect()
        ready = latents.select(COLUMNS.names).cast(COLUMNS)
        self._connection.register("given", ready)
        # What is searched and sorted by is lowered once, not at each key press.
        self._connection.execute(
            "CREATE TABLE latents AS SELECT *, lower(explanation) AS words, "
            "lower(concat(explanation, chr(10), array_to_string(top_tokens, chr(10)))) AS searched FROM given"
        )
        self._connection.unregister("given")
        self.n_latents = ready.num_rows
        self.n_dead = self._count(_Where("density = 0", []))

    def page(self, query: LatentQuery) -> LatentTable:
        """The rows that pass the filters of `query`, its page of them in its order; ties are in order of index."""
        where = _where(query)
        direction = "DESC" if query.order == "descending" else "ASC"
        sql = (
            f"SELECT {_SELECTED} FROM latents WHERE {where.sql} "
            f'ORDER BY {_ORDER[query.sort]} {direction} NULLS LAST, "index" LIMIT ? OFFSET ?'
        )
        rows = self._ask(sql, [*where.values, query.limit, query.offset])
        return LatentTable(
            sae=self._sae,
            n_latents=self.n_latents,
            n_dead=self.n_dead,
            total=self._count(where),
            offset=query.offset,
            limit=query.limit,
            score_name=self._score_name,
            rows=[_latent_row(row) for row in rows],
        )

    def rows(self, indices: Sequence[int]) -> dict[int, LatentRow]:
        """The rows of these latents, by index; those that do not exist are left out."""
        sql = f'SELECT {_SELECTED} FROM latents WHERE "index" IN (SELECT unnest(?::BIGINT[]))'
        return {row[0]: _latent_row(row) for row in self._ask(sql, [list(indices)])}

    def random_alive(self) -> int | None:
        """The index of a latent that fires, drawn anew each time; None when all are dead."""
        rows = self._ask('SELECT "index" FROM latents WHERE density > 0 ORDER BY random() LIMIT 1', [])
        return rows[0][0] if rows else None

    def _count(self, where: _Where) -> int:
        return self._ask(f"SELECT count(*) FROM latents WHERE {where.sql}", where.values)[0][0]

    def _ask(self, sql: str, values: list[Any]) -> list[tuple]:
        # One connection answers one query at a time.
        with self._lock:
            return self._connection.execute(sql, values).fetchall()


def _latent_row(row: tuple) -> LatentRow:
    return LatentRow(**dict(zip(COLUMNS.names, row, strict=True)))


def _where(query: LatentQuery) -> _Where:
    """The filters as SQL; whatever the reader typed is a parameter, never part of the statement."""
    parts, values = [_STATES[query.state]], list[str | float | int]()
    bounds = (("density >= ?", query.density_min), ("density <= ?", query.density_max), ("score >= ?", query.score_min))
    for sql, value in bounds:
        if value is not None:
            parts.append(sql)
            values.append(value)
    text = query.q.strip().lower()
    if text:
        matches = "contains(searched, ?)"
        values.append(text)
        if text.isdecimal() and len(text) < 10:
            matches += ' OR "index" = ?'
            values.append(int(text))
        parts.append(f"({matches})")
    return _Where(" AND ".join(parts), values)
