"""What every page that needs nothing else is made of: Vega inlined, our scripts by hash, data as JSON, templates that escape.

Charts are drawn in the page by Vega-Lite, inlined, with Vega's expression interpreter, so no text is ever evaluated as code. The
page's content security policy allows exactly our own scripts, by hash: escaping (Jinja's, always on) is the first wall, this the
second. Specifications and configs travel as JSON in a script element of a data type, with `<` escaped.
"""

import base64
import functools
import hashlib
import json
import re
from collections.abc import Collection, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from monoseme.reports.figures import DARK, LIGHT, Figure, theme

if TYPE_CHECKING:
    import jinja2

_CONTROL = re.compile("[\x00-\x1f]")
_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters that have no picture, those that turn the direction of writing, and halves of characters."""
_CANVAS_ROWS = 3000
"""From so many rows a chart is drawn on a canvas: as many elements of a page would make it slow."""


def chart_data(figures: Sequence[Figure]) -> dict[str, Any]:
    """What `charts.js` reads: specifications, both themes, and which charts are large."""
    specs = {figure.name: rounded(figure.spec(width="container")) for figure in figures}
    return {
        "light": theme(LIGHT, background=False),
        "dark": theme(DARK, background=False),
        "charts": specs,
        "canvas": [figure.name for figure in figures if figure.n_rows() > _CANVAS_ROWS],
    }


def rounded(value: Any) -> Any:
    """The same with six significant digits in each float: more cannot be seen in a chart, and digits are most of a page."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def json_for_html(value: Any) -> str:
    """JSON that can stand in a script element: no character in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def policy(scripts: Collection[str]) -> str:
    """Nothing from outside; these scripts only; styles inline, because Vega and the shading of tokens set them."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests] or ["'none'"]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(allowed),
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


@functools.cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script (0.9 MB)."""
    import vl_convert

    # A literal end tag inside the bundle would end our script element; in JavaScript strings "<\/" is the same text.
    bundle = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue]  its stub wants an argument
    return bundle.replace("</script", "<\\/script")


def own(name: str) -> str:
    """A file of the folder `templates`."""
    return resources.files("monoseme.reports").joinpath("templates", name).read_text(encoding="utf-8")


@functools.cache
def template(name: str) -> "jinja2.Template":
    """A template whose every value is escaped, and whose every unknown name is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(own),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["chars"] = visible_token
    return environment.get_template(name)


def visible_token(token: str) -> str:
    """A token by itself: spaces and line ends get a mark, so that " the" and "the" differ.

    Other control characters become their pictures; what would turn the direction of the text that follows, and lone surrogates,
    which cannot be written to a file, become U+FFFD.
    """
    marked = token.replace(" ", "·").replace("\n", "↵").replace("\t", "⇥")
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub(lambda found: chr(0x2400 + ord(found[0])), marked))
