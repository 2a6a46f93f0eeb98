"""One component with its data, as a page of its own: the app's scripts and styles inlined, by hash, and nothing from outside."""

import base64
import dataclasses
import functools
import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monoseme.core.files import write_atomic
from monoseme.web._bundle import bundle
from monoseme.web._static import STATIC

_PAGE = """<!doctype html>
<html lang="en" data-embedded>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main id="main"></main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embedded:
    """A component of the app with its data. A notebook shows it in place; `html` is all of it as a page, `write` a file."""

    component: str
    """Which one: a module of the front end's folder `js/embed`."""
    title: str
    data: Mapping[str, Any] = dataclasses.field(repr=False)
    """What it draws, as the API would answer it (JSON-able)."""
    height: int
    """Of the frame in a notebook, in pixels; what is longer scrolls."""

    @property
    def html(self) -> str:
        """A self-contained page: it asks for nothing, and no text in its data can become code."""
        script, style = _script(self.component), _style()
        policy = "; ".join(
            (
                "default-src 'none'",
                f"script-src {_by_hash(script)}",
                f"style-src {_by_hash(style)}",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
            )
        )
        data = _json(self.data)
        return _PAGE.format(policy=policy, title=html.escape(self.title), style=style, data=data, script=script)

    def write(self, path: Path | str) -> Path:
        """Writes the page; gives the path."""
        write_atomic(Path(path), self.html)
        return Path(path)

    def _repr_html_(self) -> str:
        # A frame keeps the styles of the notebook and ours apart; the sandbox lets our own scripts run and nothing else.
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" width="100%" height="{self.height}" '
            f'style="border:0" srcdoc="{html.escape(self.html)}"></iframe>'
        )


@functools.cache
def _script(component: str) -> str:
    return bundle(f"js/embed/{component}.js", lambda path: (STATIC / path).read_text(encoding="utf-8"))


@functools.cache
def _style() -> str:
    shared = (f"components/{name}" for name in ("texts", "panels", "controls", "tables", "figures"))
    names = ("base", *shared, "pages/latent", "pages/latent_examples", "embed")
    return "\n".join((STATIC / "css" / f"{name}.css").read_text(encoding="utf-8") for name in names)


def _by_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """JSON that can stand in a script element: no character in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
