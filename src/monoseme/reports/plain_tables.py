"""Small tables as text: Markdown for pages, aligned columns for terminals.

Rows are mappings; columns are those of the first row, or as named. A missing value, or None, is a dash.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_MISSING = "–"
_MARKS = re.compile(r"[\\`*\[|]")
"""Characters that begin something in Markdown within a line; an underscore within a word does not."""


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
    """A table in Markdown, numbers to the right; empty for no rows. What cells hold is shown as it is: see `markdown_text`."""
    if not rows:
        return ""
    names = _columns(rows, columns)
    marks = ["---:" if is_number(rows, name) else "---" for name in names]
    lines = [[markdown_text(name) for name in names], marks]
    lines += [[markdown_text(cell_text(row.get(name))) for name in names] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def aligned_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """A table for a terminal: columns two spaces apart, numbers to the right; empty for no rows."""
    if not rows:
        return ""
    names = _columns(rows, columns)
    lines = [names, *([cell_text(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    right = [is_number(rows, name) for name in names]
    placed = (
        "  ".join(text.rjust(n) if to_right else text.ljust(n) for text, n, to_right in zip(line, widths, right, strict=True))
        for line in lines
    )
    return "\n".join(line.rstrip() for line in placed)


def _columns(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None) -> list[str]:
    return list(rows[0] if columns is None else columns)


def is_number(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a column holds numbers, missing ones aside."""
    values = [row.get(name) for row in rows]
    return any(v is not None for v in values) and all(v is None or isinstance(v, int | float) for v in values)


def markdown_text(text: str) -> str:
    """Text of models and data as Markdown shows it, on one line: neither mark-up nor link, image, HTML or the end of a cell."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.splitlines())).replace("&", "&amp;").replace("<", "&lt;")
