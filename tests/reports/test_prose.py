"""A little Markdown as HTML: what is known is shown, what comes from data stays text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoseme.reports._prose import inline, prose
from monoseme.reports.plain_tables import markdown_text


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a *b* **c** `d_e`", "a <em>b</em> <strong>c</strong> <code>d_e</code>"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("`<b>`", "<code>&lt;b&gt;</code>"),
        ("[a](https://x.org/y)", '<a href="https://x.org/y" rel="noreferrer">a</a>'),
        ("[a](javascript:alert)", "[a](javascript:alert)"),
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        (r"\*a\* &lt;b>", "*a* &lt;b&gt;"),
    ],
)
def test_a_line(text: str, html: str) -> None:
    assert str(inline(text)) == html


def test_paragraphs_lists_and_code_are_told_apart() -> None:
    made = str(prose("One\ntwo:\n- a\n  b\n- c\n\n## Three\n\n```sh\nx <y>\n\nz\n```\n"))
    assert made.split("\n", 1)[0] == "<p>One two:</p><ul><li>a b</li><li>c</li></ul>"
    assert "<h3>Three</h3>" in made
    assert made.endswith("<pre>x &lt;y&gt;\n\nz</pre>")
    assert str(prose("> *One*\n>\n> two <b>")) == "<blockquote><em>One</em><br><br>two &lt;b&gt;</blockquote>"


@given(st.text(alphabet="<>&*`[]()\\_|\n ajlt;:#") | st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Co"])))
def test_escaped_text_comes_out_as_it_went_in(text: str) -> None:
    assert inline(markdown_text(text)).unescape() == " ".join(text.splitlines())


@given(st.text(alphabet="<>&*`[]()\\_| \ue03c\ue03eajlt;:/hps"))
def test_no_text_opens_an_element_of_its_own(text: str) -> None:
    left = re.sub(r"</?(code|em|strong)>|<a href=\"https?://[^\"<>]*\" rel=\"noreferrer\">|</a>", "", str(inline(text)))
    assert "<" not in left
