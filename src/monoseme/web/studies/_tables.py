"""The tables of a study, sorted and cut into pages."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from monoseme.core.config import suggest
from monoseme.web.run_files import NotFoundError
from monoseme.web.studies.answers import Cell, Column, StudyTable

if TYPE_CHECKING:
    import pyarrow as pa

    from monoseme.studies import WrittenReport

_MOST_TEXT = 2_000
"""Characters of a cell."""


class TableQuery(BaseModel):
    """What of a table is asked for: the query of its URL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sort: str | None = Field(None, max_length=200, description="a column; none: as it was written")
    order: Literal["ascending", "descending"] = "ascending"
    columns: Literal["shown", "all"] = "shown"
    offset: int = Field(0, ge=0, lt=2**31)
    limit: int = Field(200, ge=1, le=1000)


def page(report: "WrittenReport", name: str, query: TableQuery) -> StudyTable:
    """Some rows. Missing values come last in either order. Raises NotFoundError for a table or column that it does not have."""
    if name not in report.tables:
        raise NotFoundError(f"this study has no table {name!r}.{suggest(name, list(report.tables))}")
    table = report.table(name)
    if query.sort is not None and query.sort not in table.column_names:
        raise NotFoundError(f"the table {name} has no column {query.sort!r}.{suggest(query.sort, table.column_names)}")
    shown = _shown(table.column_names, report.shown.get(name), all_columns=query.columns == "all")
    rows = _ordered(table, query).slice(query.offset, query.limit).select(shown)
    columns = [rows.column(column).to_pylist() for column in shown]
    return StudyTable(
        name=name,
        columns=[Column(name=column, is_numeric=_is_numeric(table.schema.field(column).type)) for column in shown],
        rows=[[_cell(value) for value in row] for row in zip(*columns, strict=True)],
        n_rows=table.num_rows,
        offset=query.offset,
        n_hidden_columns=len(table.column_names) - len(shown),
    )


def _shown(names: Sequence[str], chosen: Sequence[str] | None, *, all_columns: bool) -> list[str]:
    """The columns that the study means to be seen; all where it says nothing, or where all are wanted."""
    return [name for name in (names if all_columns or not chosen else chosen) if name in names]


def _ordered(table: "pa.Table", query: TableQuery) -> "pa.Table":
    """Ties stay as they were written."""
    if query.sort is None:
        return table
    values = table.column(query.sort).to_pylist()
    missing = [place for place, value in enumerate(values) if value is None or value != value]
    known = [place for place, value in enumerate(values) if value is not None and value == value]
    known.sort(key=lambda place: _key(values[place]), reverse=query.order == "descending")
    return table.take(known + missing)


def _key(value: Any) -> Any:
    """What a value is sorted by: lists and the like by their text."""
    return value if isinstance(value, bool | int | float | str) else str(value)


def _is_numeric(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _cell(value: Any) -> Cell:
    from monoseme.reports.plain_tables import cell_text

    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = value if isinstance(value, str) else cell_text(value)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… ({len(text):,} characters)"
