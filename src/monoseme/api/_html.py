"""HTML that results show themselves with in notebooks: no script, no address, inline styles that suit light and dark pages.

Colours of text are inherited, shades are see-through; so the same HTML reads well in JupyterLab, VS Code and on pages that take
styles away. All text is untrusted and escaped.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.reports.html import visible_token
from monoseme.reports.plain_tables import cell_text

_FRAME = "font-family:system-ui,sans-serif;font-size:13px;line-height:1.45;max-width:960px;text-align:left"
_TABLE = "border-collapse:collapse;margin:0;font-size:inherit;color:inherit"
_CELL = "padding:2px 10px 2px 0;border:0;border-bottom:1px solid rgba(128,128,128,.25);vertical-align:top;background:none"
_WARM, _COLD = "230,119,0", "28,126,214"
"""Red, green, blue of what is above 0, and of what is below."""
_MOST_SHADE = 0.75
"""Opacity of the strongest token: text on it is still read in both themes."""


def framed(title: str, *parts: str, note: str = "") -> str:
    """A result: a title, its parts (HTML), and a line below."""
    below = f'<div style="opacity:.65;margin-top:4px">{html.escape(note)}</div>' if note else ""
    head = f'<div style="font-weight:600;margin-bottom:4px">{html.escape(title)}</div>'
    return f'<div style="{_FRAME}">{head}{"".join(parts)}{below}</div>'


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """A table; numbers to the right. Columns are those of the first row, or as named."""
    names = list(columns if columns is not None else rows[0] if rows else ())
    numeric = {name for name in names if any(_is_number(row.get(name)) for row in rows)}
    head = "".join(f'<th style="{_style(name in numeric)};font-weight:600">{html.escape(name)}</th>' for name in names)
    body = "".join(f"<tr>{''.join(_cell(row.get(name), to_right=name in numeric) for name in names)}</tr>" for row in rows)
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def pairs(facts: Mapping[str, Any]) -> str:
    """Facts as a table of two columns; those that are None are left out."""
    rows = "".join(
        f'<tr><th style="{_style(False)};font-weight:400;opacity:.65">{html.escape(name)}</th>{_cell(value, to_right=False)}</tr>'
        for name, value in facts.items()
        if value is not None
    )
    return f'<table style="{_TABLE}"><tbody>{rows}</tbody></table>'


def shaded(tokens: Sequence[str], values: Sequence[float | None], *, top: float) -> str:
    """A text whose tokens are shaded by their values, `top` or more the most; a value is told when one points at it."""
    spans = "".join(_token(token, value, top) for token, value in zip(tokens, values, strict=True))
    return f'<div style="line-height:1.9;word-break:break-word">{spans}</div>'


def paragraph(text: str) -> str:
    """Some plain text."""
    return f'<div style="margin:4px 0;white-space:pre-wrap">{html.escape(text)}</div>'


def heading(text: str) -> str:
    """A small heading between parts."""
    return f'<div style="font-weight:600;margin:8px 0 2px">{html.escape(text)}</div>'


def _token(token: str, value: float | None, top: float) -> str:
    shown = html.escape(visible_token(token)).replace("·", '<span style="opacity:.35">·</span>')
    if not value or top <= 0:
        return f"<span>{shown}</span><wbr>"
    share = min(1.0, abs(value) / top) * _MOST_SHADE
    colour = f"rgba({_WARM if value > 0 else _COLD},{share:.2f})"
    return f'<span title="{value:.4g}" style="background:{colour};border-radius:3px">{shown}</span><wbr>'


def _cell(value: Any, *, to_right: bool) -> str:
    return f'<td style="{_style(to_right)}">{html.escape(cell_text(value))}</td>'


def _style(to_right: bool) -> str:
    return f"{_CELL};text-align:{'right;white-space:nowrap' if to_right else 'left'}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
