"""The table of latents of one SAE, in memory: filtered and sorted by DuckDB, cut into pages here.

An order of all latents takes some milliseconds and is kept, so that the next page of it is a slice. Conditions use the names
that `monoseme search` has. `monoseme.atlas` has a table too; this one also filters, ranks, and hands out whole columns for plots.
"""

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from monoseme.core.config import suggest
from monoseme.web.latents._found import Found
from monoseme.web.latents._query import LatentFilter, LatentQuery
from monoseme.web.latents._where import density_column, quoted, where
from monoseme.web.latents.answers import LatentColumn, LatentColumns, LatentRow, LatentTable
from monoseme.web.run_files import BadRequestError
from monoseme.web.texts import shortened

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

_TOP_TOKENS = 6
"""Tokens named per latent in the table (count)."""
_MOST_CHARACTERS, _MOST_OF_TOKEN = 600, 80
"""Of an explanation and of a token in a row: it has two lines of room, and the page of a latent shows all of it."""
_MOST_VALUES = 8
"""Columns handed out whole at once (count)."""
_LOW, _N = "score_low", "score_n"
"""Further columns that stand beside the score where it has them."""
_SORTS = {"index": "latent", "explanation": "_alphabetical", "score": "score", "max": '"max"'}
_ROLE = "density_"
_KEPT_ORDERS = 32
"""Orders of all latents that are kept (count): of 65,536 latents, a quarter of a megabyte each."""
Order = Literal["ascending", "descending"]


class LatentsTable:
    """All latents of one SAE. Safe to ask from several threads."""

    def __init__(
        self,
        latents: pa.Table,
        *,
        sae: str,
        score_name: str = "",
        definitions: Mapping[str, str] | None = None,
        n_tokens: int | None = None,
    ) -> None:
        """`latents` has the columns of COLUMNS, one row per latent, in order; numbers in further ones can be shown too.

        `definitions` say what further columns mean; `n_tokens` were scanned.
        """
        self._n_tokens = n_tokens
        self.sae, self._score_name, self._definitions = sae, score_name, dict(definitions or {})
        needed = latents.select(COLUMNS.names).cast(COLUMNS)
        further = [name for name in latents.column_names if name not in COLUMNS.names]
        self._latents = pa.table({**dict(zip(COLUMNS.names, needed.columns, strict=True)), **{n: latents[n] for n in further}})
        self._has_scores = needed["score"].null_count < needed.num_rows
        self._lock = threading.Lock()
        # Its filter can be hashed, which a checker of types does not see of frozen models.
        self._order: Any = functools.lru_cache(maxsize=_KEPT_ORDERS)(self._ordered)
        self._connection = _filled(self._latents)
        described = self._connection.execute("DESCRIBE latents").fetchall()
        self._types = {str(name): str(kind) for name, kind, *_ in described if not str(name).startswith("_")}
        self._further = [name for name in further if _is_number(self._latents.schema.field(name).type)]
        self.n_latents = needed.num_rows
        self.n_dead = len(self._order(LatentFilter(state="dead"), "index", "ascending"))

    def columns(self) -> LatentColumns:
        """What can be asked of this table."""
        named = [LatentColumn(name=name, definition=self._definitions.get(name, "")) for name in self._further]
        roles = [name.removeprefix(_ROLE) for name in self._further if name.startswith(_ROLE)]
        return LatentColumns(sae=self.sae, columns=named, roles=roles, stated=list(self._types))

    def page(self, query: LatentQuery, found: Found | None = None) -> LatentTable:
        """The rows that pass the filters of `query`, its page of them in its order; ties are in order of index.

        `found` is the answer of its search, where that ranks. Raises BadRequestError for a column or a statement that is none.
        """
        order = self._ranked(query, found)
        shown = order[query.offset : query.offset + query.limit]
        return LatentTable(
            sae=self.sae,
            n_latents=self.n_latents,
            n_dead=self.n_dead,
            n_tokens=self._n_tokens,
            total=len(order),
            offset=query.offset,
            limit=query.limit,
            score_name=self._score_name if self._has_scores else "",
            search=None if found is None else found.search,
            rows=self._rows(shown, query.shown, role=query.role, found=found),
        )

    def rows(self, indices: Sequence[int]) -> dict[int, LatentRow]:
        """The rows of these latents, by index; those that do not exist are left out."""
        known = np.array([index for index in indices if 0 <= index < self.n_latents], dtype=np.int64)
        return {row.index: row for row in self._rows(known, ())}

    def passing(self, asked: LatentFilter, found: Found | None = None) -> NDArray[np.bool_]:
        """Which latents pass the filters, [F]."""
        passes = np.zeros(self.n_latents, dtype=bool)
        passes[_within(self._order(asked, "index", "ascending"), found, self.n_latents)] = True
        return passes

    def values(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Whole columns of numbers, [len(names), F]; NaN where a number is missing. Raises BadRequestError."""
        allowed = ("density", "max", "score", *self._further)
        if len(names) > _MOST_VALUES:
            raise BadRequestError(f"columns: {len(names)} are asked for at once\n  At most {_MOST_VALUES} are given.")
        for name in names:
            _check(name, allowed, what="columns")
        return np.stack([self._latents[name].cast(pa.float32()).to_numpy() for name in names])

    def explanations(self) -> tuple[NDArray[np.int64], list[str]]:
        """The latents that are explained, and what is said of each."""
        texts = self._latents["explanation"].to_pylist()
        explained = [index for index, text in enumerate(texts) if text]
        return np.array(explained, dtype=np.int64), [texts[index] for index in explained]

    def random_alive(self) -> int | None:
        """The index of a latent that fires, drawn anew each time; None when all are dead."""
        alive = self._order(LatentFilter(state="alive"), "index", "ascending")
        return int(np.random.default_rng().choice(alive)) if len(alive) else None

    def _ranked(self, query: LatentQuery, found: Found | None) -> NDArray[np.int32]:
        """The latents that pass, in the order asked for."""
        sort = {"relevance": "index", _LOW: _LOW if self._has_scores else "max"}.get(query.sort, query.sort)
        order = _within(self._order(query.filter, sort, query.order), found, self.n_latents)
        if found is None or query.sort != "relevance":
            return order
        passes = np.zeros(self.n_latents, dtype=bool)
        passes[order] = True
        best_first = found.latents[passes[found.latents]].astype(np.int32)
        return best_first if query.order == "descending" else best_first[::-1]

    def _ordered(self, asked: LatentFilter, sort: str, order: Order) -> NDArray[np.int32]:
        """The latents that pass, sorted; missing values come last."""
        if asked.role:
            _check(f"{_ROLE}{asked.role}", self._further, what="role")
        _check(sort, (*_SORTS, "density", "relevance", _LOW, *self._further), what="sort")
        column = density_column(asked.role) if sort == "density" else _SORTS.get(sort, quoted(sort))
        chosen = where(asked, types=self._types)
        direction = "DESC" if order == "descending" else "ASC"
        if sort == _LOW:  # scores without an error come behind those with one, in their own order
            column = f"{quoted(_LOW)} {direction} NULLS LAST, score" if _LOW in self._further else "score"
        sql = f"SELECT latent FROM latents WHERE {chosen.sql} ORDER BY {column} {direction} NULLS LAST, latent"
        # One connection answers one query at a time.
        with self._lock:
            return self._connection.execute(sql, chosen.values).fetchnumpy()["latent"].astype(np.int32)

    def _rows(
        self, indices: NDArray[Any], shown: Sequence[str], *, role: str = "", found: Found | None = None
    ) -> list[LatentRow]:
        for name in shown:
            _check(name, self._further, what="show")
        density = f"{_ROLE}{role}" if role else "density"
        beside = [name for name in (_LOW, _N) if name in self._further]
        picked = self._latents.select([*dict.fromkeys([*COLUMNS.names, *beside, density, *shown])]).take(pa.array(indices))
        ranks = _values_of(found, indices) if found else {}
        return [_latent_row(row, shown, density, ranks) for row in picked.to_pylist()]


def _filled(latents: pa.Table) -> duckdb.DuckDBPyConnection:
    """A database with the table; texts are lowered and put in order once, not at each key press."""
    connection = duckdb.connect()
    connection.register("given", latents)
    connection.execute(
        'CREATE TABLE latents AS SELECT "index" AS latent, top_tokens AS example_texts, * EXCLUDE ("index", top_tokens), '
        "CASE WHEN explanation IS NOT NULL THEN dense_rank() OVER (ORDER BY lower(explanation)) END AS _alphabetical, "
        f"lower(concat(explanation, chr(10), array_to_string(top_tokens[:{_TOP_TOKENS}], chr(10)))) AS _searched FROM given"
    )
    connection.unregister("given")
    return connection


def _within(order: NDArray[np.int32], found: Found | None, n_latents: int) -> NDArray[np.int32]:
    """Those of an order that a search found."""
    if found is None:
        return order
    is_found = np.zeros(n_latents, dtype=bool)
    is_found[found.latents] = True
    return order[is_found[order]]


def _values_of(found: Found, indices: NDArray[Any]) -> dict[int, dict[str, float | None]]:
    """The numbers of the search for each of these latents."""
    place = {int(latent): i for i, latent in enumerate(found.latents)}
    chosen = [(int(index), place[int(index)]) for index in indices]
    return {index: {name: _known(float(column[i])) for name, column in found.values.items()} for index, i in chosen}


def _latent_row(
    row: dict[str, Any], shown: Sequence[str], density: str, ranks: Mapping[int, Mapping[str, float | None]]
) -> LatentRow:
    return LatentRow(
        index=row["index"],
        density=row[density] or 0.0,
        max=row["max"],
        explanation=None if row["explanation"] is None else shortened(row["explanation"], _MOST_CHARACTERS),
        score=row["score"],
        score_low=row.get(_LOW),
        score_n=row.get(_N),
        top_tokens=[shortened(text, _MOST_OF_TOKEN) for text in row["top_tokens"][:_TOP_TOKENS]],
        more={name: _known(row[name]) for name in shown} | dict(ranks.get(row["index"], {})),
    )


def _known(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _check(name: str, allowed: Sequence[str], *, what: str) -> None:
    if name not in allowed:
        raise BadRequestError(
            f'{what}: latents have no column "{name}".{suggest(name, allowed)}\n  Allowed: {", ".join(allowed)}'
        )
