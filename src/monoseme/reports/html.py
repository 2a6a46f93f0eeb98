"""The report as one HTML file that needs nothing else: no network, no folder beside it, no server.

Charts are drawn in the page by Vega-Lite, inlined, with Vega's expression interpreter, so no text is ever evaluated as code. The
page's content security policy allows exactly our own scripts, by hash: escaping (Jinja's, always on) is the first wall, this the
second. Specifications and configs travel as JSON in a script element of a data type, with `<` escaped.
"""

import base64
import functools
import hashlib
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from monoseme.reports._data import RunReport
from monoseme.reports._sections import figures_of
from monoseme.reports._shading import passages
from monoseme.reports._summary import DOMAIN_METRICS, domain_rows, headlines, tables
from monoseme.reports.figures import DARK, LIGHT, theme

if TYPE_CHECKING:
    import jinja2


def render_html(report: RunReport) -> str:
    """The whole page."""
    figures = figures_of(report)
    scripts = [_vega_bundle(), _own("charts.js")] if figures else []
    data = {
        "light": theme(LIGHT, background=False),
        "dark": theme(DARK, background=False),
        "charts": {figure.name: figure.spec(width="container") for figure in figures},
    }
    return _template().render(
        report=report,
        figures=figures,
        headlines={sae.name: headlines(sae) for sae in report.saes},
        tables=tables(report),
        domains=domain_rows(report),
        domain_metrics=DOMAIN_METRICS,
        passages=passages,
        config=json.dumps(report.config, indent=2, ensure_ascii=False, default=str),
        style=Markup(_own("report.css")),
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
        data=Markup(json_for_html(data)),
    )


def json_for_html(value: Any) -> str:
    """JSON that can stand in a script element: no character in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _policy(scripts: list[str]) -> str:
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
def _vega_bundle() -> str:
    import vl_convert

    # A literal end tag inside the bundle would end our script element; in JavaScript strings "<\/" is the same text.
    bundle = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue]  its stub wants an argument
    return bundle.replace("</script", "<\\/script")


def _own(name: str) -> str:
    return resources.files("monoseme.reports").joinpath("templates", name).read_text(encoding="utf-8")


@functools.cache
def _template() -> "jinja2.Template":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_own),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["chars"] = visible_token
    return environment.get_template("report.html.j2")


def visible_token(token: str) -> str:
    """A token by itself: spaces and line ends get a mark, so that " the" and "the" differ."""
    return token.replace(" ", "·").replace("\n", "↵").replace("\t", "⇥")
