"""Cells of Markdown tables: written so that GitHub's reader and Python-Markdown's show the same."""

import html
import re

_SPAN = re.compile(r"(`[^`]*`)")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def cell(text: str) -> str:
    """Prose on one line, with code spans in backticks; its bars end no column and its "<" opens no tag."""
    parts = _SPAN.split(" ".join(text.split()))
    return "".join(code(part.strip("`")) if i % 2 else _prose(part) for i, part in enumerate(parts))


def _prose(text: str) -> str:
    return _TAG.sub("&lt;", text.replace("|", "\\|"))


def code(text: str) -> str:
    """A code span on one line. One with a bar is HTML: Python-Markdown shows the backslash before a bar inside backticks."""
    line = " ".join(text.split())
    if "|" not in line:
        return f"`{line}`"
    return f"<code>{html.escape(line, quote=False).replace('|', '&#124;')}</code>"
