"""`Picture`: a figure of a report, shown in a notebook as a PNG that lies inside the cell."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monoseme.api._html import framed
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.core.files import read_json


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure with its title and caption."""

    name: str
    title: str
    caption: str
    png: bytes = field(repr=False)
    """On a light ground, at twice the pixels of its size."""

    def __repr__(self) -> str:
        return f"{self.title}. {self.caption}"

    def _repr_html_(self) -> str:
        return framed("", self.body(), note=self.caption)

    def body(self) -> str:
        """The picture alone, as HTML that needs no file."""
        data = base64.b64encode(self.png).decode()
        # Half of its pixels: two make one of the page.
        width = int.from_bytes(self.png[16:20], "big") // 2
        return f'<img alt="{html.escape(self.title)}" style="max-width:100%" width="{width}" src="data:image/png;base64,{data}">'


def drawn(name: str, file: Path) -> Picture:
    """The figure whose Vega-Lite specification is in a file of a report."""
    import vl_convert

    spec = read_json(file)
    title = spec.get("title", name)
    png = vl_convert.vegalite_to_png(spec, scale=2.0)
    return Picture(name=name, title=title if isinstance(title, str) else str(title.get("text", name)), caption="", png=png)


def known(name: str, names: Sequence[str], what: str) -> str:
    """The name. Raises ConfigError for one that is not among what there is."""
    if name not in names:
        raise ConfigError(f'there is no {what} "{name}" here.{suggest(name, names)}\n  There is: {", ".join(names)}')
    return name
