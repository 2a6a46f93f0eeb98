"""Small tables as text: Markdown for pages, aligned columns for terminals.

Rows are mappings; columns are those of the first row, or as named. A missing value, or None, is a dash.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_MISSING = "–"


def cell_text(value: Any) -> str:
    """A value as a cell shows it: four significant digits, thousands apart, a dash for None."""
    if value is None:
        return _MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def markdown_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """A table in Markdown, numbers to the right; empty for no rows. Bars and line ends in cells cannot break it."""
    if not rows:
        return ""
    names = _columns(rows, columns)
    marks = ["---:" if _is_number(rows, name) else "---" for name in names]
    lines = [[_escaped(name) for name in names], marks]
    lines += [[_escaped(cell_text(row.get(name))) for name in names] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def aligned_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """A table for a terminal: columns two spaces apart, numbers to the right; empty for no rows."""
    if not rows:
        return ""
    names = _columns(rows, columns)
    lines = [names, *([cell_text(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    right = [_is_number(rows, name) for name in names]
    placed = (
        "  ".join(text.rjust(n) if to_right else text.ljust(n) for text, n, to_right in zip(line, widths, right, strict=True))
        for line in lines
    )
    return "\n".join(line.rstrip() for line in placed)


def _columns(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None) -> list[str]:
    return list(rows[0] if columns is None else columns)


def _is_number(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    values = [row.get(name) for row in rows]
    return any(v is not None for v in values) and all(v is None or isinstance(v, int | float) for v in values)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
