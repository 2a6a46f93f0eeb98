"""The table of latents: sorted, searched and cut into pages by DuckDB over the Parquet files of an atlas."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from monoseme.atlas.annotations import Annotation, table_path
from monoseme.atlas.latents import Latents
from monoseme.atlas.search.statistics import parse_condition
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.core.intervals import Z_95

_SHOWN = (
    "latent",
    "n_fired",
    "density",
    "n_documents",
    "max",
    "mean",
    "std",
    "is_dead",
    "why_missing",
    "example_texts",
    "top_texts",
)
_INNER = ("searched", "label_shown")
"""Columns for the query alone: what is searched, and the label of the explanation that is shown."""


class LatentTable(NamedTuple):
    """A page of the table."""

    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    n_matching: int
    """Latents that match the search (count), on all pages together."""


class TableQuery:
    """The latents of one (SAE, part), each joined with the newest explanation that it has, and with the scores of that one.

    Beside the first number of a scorer stands `..._low`, the lower end of its 95 % interval (value - 1.96 standard errors): who
    sorts by it sees first what is surely good, and not what did well on four firings.
    """

    def __init__(self, latents: Latents, annotations: Sequence[Annotation]) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1")  # small tables; a server has its own threads
        explained = [a for a in annotations if a.holds == "explanations"]
        shown = ", ".join(_quoted(name) for name in _SHOWN)
        self._connection.execute(f"CREATE TABLE latents AS SELECT {shown} FROM {_read(latents.artifact.file('latents.parquet'))}")
        self._add_roles(latents)
        self._add_explanations(explained)
        for annotation in reversed(annotations):  # the newest last, so that its numbers are the ones that stay
            if annotation.holds == "scores" and annotation.artifact.config.get("explanations") in [
                one.label for one in explained
            ]:
                self._add_scores(annotation)
        described = self._connection.execute("DESCRIBE latents").fetchall()
        self._types = {str(name): str(kind) for name, kind, *_ in described if name not in _INNER}
        self.columns = tuple(self._types)

    def page(
        self,
        *,
        sort: str = "latent",
        descending: bool = False,
        search: str = "",
        where: str = "",
        limit: int = 50,
        offset: int = 0,
    ) -> LatentTable:
        """Rows `offset` to `offset + limit` in the order of a column; missing values come last, ties go by number.

        `search` finds latents with the text, case aside, in an explanation, in a token of their strongest examples or in a token
        they raise most, and the latent whose number it is. `where` is a statement about columns, as `search.statistics` reads it.
        Raises ConfigError for a column there is not, and for a statement that cannot be read.
        """
        if sort not in self.columns:
            raise ConfigError(
                f'latents cannot be sorted by "{sort}".{suggest(sort, self.columns)}\n  Columns: {", ".join(self.columns)}'
            )
        if limit < 0 or offset < 0:
            raise ConfigError(f"limit is {limit} and offset is {offset}; neither can be negative.")
        terms, given = ["TRUE"], list[Any]()
        if search:
            terms.append("(contains(searched, lower(?)) OR CAST(latent AS VARCHAR) = trim(?))")
            given += [search, search]
        if where:
            condition = parse_condition(where, self._types)
            terms.append(f"({condition.sql})")
            given += condition.values
        chosen = "WHERE " + " AND ".join(terms)
        order = f"{_quoted(sort)} {'DESC' if descending else 'ASC'} NULLS LAST, latent"
        shown = ", ".join(_quoted(name) for name in self.columns)
        query = f"SELECT {shown} FROM latents {chosen} ORDER BY {order} LIMIT ? OFFSET ?"
        cursor = self._connection.cursor()  # cursors may be used by several threads at once, a connection may not
        rows = [dict(zip(self.columns, row, strict=True)) for row in cursor.execute(query, [*given, limit, offset]).fetchall()]
        counted = cursor.execute(f"SELECT count(*) FROM latents {chosen}", given).fetchone()
        return LatentTable(self.columns, rows, counted[0] if counted else 0)

    def _add_roles(self, latents: Latents) -> None:
        """A column `density_ROLE` for each role of a conversation."""
        for role, densities in latents.role_densities().items():
            column = _quoted(f"density_{role}")
            self._connection.execute(f"ALTER TABLE latents ADD COLUMN {column} DOUBLE")
            of_role = pa.table({"latent": pa.array(range(len(densities)), pa.int32()), "density": densities})
            self._connection.register("of_role", of_role)
            found = "of_role WHERE of_role.latent = latents.latent"
            self._connection.execute(f"UPDATE latents SET {column} = of_role.density FROM {found}")
            self._connection.unregister("of_role")

    def _add_explanations(self, explained: Sequence[Annotation]) -> None:
        self._connection.execute("ALTER TABLE latents ADD COLUMN explanation VARCHAR")
        for name in _INNER:
            self._connection.execute(f"ALTER TABLE latents ADD COLUMN {name} VARCHAR")
        self._connection.execute(
            "UPDATE latents SET searched = lower(concat_ws(chr(10), array_to_string(example_texts, chr(10)), "
            "array_to_string(top_texts, chr(10))))"
        )
        for annotation in explained:  # the newest first
            found = f"{_read(table_path(annotation))} AS said WHERE said.latent = latents.latent AND said.text IS NOT NULL"
            self._connection.execute(
                "UPDATE latents SET label_shown = coalesce(label_shown, ?), explanation = coalesce(explanation, said.text), "
                f"searched = searched || chr(10) || lower(said.text) FROM {found}",
                [annotation.label],
            )

    def _add_scores(self, annotation: Annotation) -> None:
        scorer, of = str(annotation.artifact.config["scorer"]), annotation.artifact.config["explanations"]
        has_deciles = "decile" in pq.read_schema(table_path(annotation)).names  # those of an older layout have none
        whole = "AND score.decile IS NULL" if has_deciles else ""
        for name in annotation.artifact.config["definitions"]:
            column = _quoted(f"{scorer}_{name}")
            self._connection.execute(f"ALTER TABLE latents ADD COLUMN IF NOT EXISTS {column} DOUBLE")
            found = f"{_read(table_path(annotation))} AS score WHERE score.latent = latents.latent AND score.name = ? {whole}"
            is_of_shown = "AND latents.label_shown = ?"
            self._connection.execute(f"UPDATE latents SET {column} = score.value FROM {found} {is_of_shown}", [name, of])
            if name == annotation.artifact.config.get("headline"):
                low = _quoted(f"{scorer}_{name}_low")
                self._connection.execute(f"ALTER TABLE latents ADD COLUMN IF NOT EXISTS {low} DOUBLE")
                end = f"score.value - {Z_95} * score.standard_error"
                self._connection.execute(f"UPDATE latents SET {low} = {end} FROM {found} {is_of_shown}", [name, of])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _read(path: Path) -> str:
    quoted = str(path).replace("'", "''")
    return f"read_parquet('{quoted}')"
