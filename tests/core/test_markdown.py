"""Cells of tables, read back by the reader that the documentation is built with."""

import re

import markdown
import pytest

from monoseme.core.markdown import cell, code


def _row(*cells: str) -> list[str]:
    """The cells as HTML shows them, tags removed and references resolved."""
    page = markdown.markdown(
        f"| {' | '.join('abc'[: len(cells)])} |\n{'|---' * len(cells)}|\n| {' | '.join(cells)} |", extensions=["tables"]
    )
    return re.findall(r"<td>(.*?)</td>", page)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("|x| over a", "|x| over a"),
        ("f += <r, a> a", "f += &lt;r, a&gt; a"),
        ("two\n  lines", "two lines"),
        ("t_<t", "t_&lt;t"),
        ("`a|b` < `c<d`", "<code>a&#124;b</code> &lt; <code>c&lt;d</code>"),
    ],
)
def test_prose_is_shown_letter_by_letter_and_stays_in_its_column(text: str, shown: str) -> None:
    assert _row("left", cell(text), "right") == ["left", shown, "right"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("{None}|STR", "{None}&#124;STR"), ("a<b", "a&lt;b"), ("<a>|b", "&lt;a&gt;&#124;b"), ("a\n b", "a b")],
)
def test_code_is_shown_letter_by_letter_and_stays_in_its_column(text: str, shown: str) -> None:
    assert _row("left", code(text), "right") == ["left", f"<code>{shown}</code>", "right"]
