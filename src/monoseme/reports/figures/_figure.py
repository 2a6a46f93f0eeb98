"""A figure: a Vega-Lite specification with its name, title and caption, and what it exports to."""

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from monoseme.core.errors import ConfigError
from monoseme.core.files import to_json, write_atomic
from monoseme.reports.figures._style import DARK, LIGHT, theme

if TYPE_CHECKING:
    import altair as alt

FORMATS = ("png", "svg", "pdf", "json")
_WIDTH, _HEIGHT = 460, 260
_PNG_SCALE = 2.0
_UNDRAWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML forbids, even escaped. Texts of a corpus have them; in a label one aborts the process (vl-convert 1.9)."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One chart of a report."""

    name: str
    """File name and anchor: lower case, underscores."""
    title: str
    caption: str
    """What one sees and how to read it; one or two sentences."""
    chart: "alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart"
    height: int = _HEIGHT
    """Of the chart (pixels)."""
    has_own_size: bool = False
    """Whether the chart brings its sizes: several charts side by side, or a map with a size for each cell."""

    def spec(self, *, width: int | str = _WIDTH) -> dict[str, Any]:
        """The Vega-Lite specification with its data inside and no theme; `width="container"` fills a page's column.

        Made once for each width, since making it takes long; what is returned is not to be changed.
        """
        if width not in self._specs:
            self._specs[width] = self._made(width)
        return self._specs[width]

    @functools.cached_property
    def _specs(self) -> dict[int | str, dict[str, Any]]:
        """Specifications made so far, by width."""
        return {}

    def _made(self, width: int | str) -> dict[str, Any]:
        if self.has_own_size:
            return _drawable(self.chart.to_dict())
        chart: Any = self.chart  # altair's stubs give a ConcatChart no width
        spec = _drawable(chart.properties(width=width, height=self.height).to_dict())
        return spec | {"autosize": {"type": "fit-x", "contains": "padding"}}

    def save(self, path: Path, *, dark: bool = False) -> None:
        """Writes it in the format of the path's ending: .png, .svg, .pdf or .json (the specification). Needs no browser.

        Raises ConfigError for another ending, DiskFullError.
        """
        write_atomic(path, self.render(path.suffix.lstrip(".").lower(), dark=dark))

    def render(self, kind: str, *, dark: bool = False) -> bytes | str:
        """The figure as `png` (twice the pixels, for print and screens alike), `svg`, `pdf` or `json`, title included."""
        if kind not in FORMATS:
            raise ConfigError(f'a figure cannot be written as "{kind}".\n  Allowed: {", ".join(FORMATS)}')
        if kind == "json":
            return to_json(self._themed(dark))
        picture = self.pictures((kind,), dark=dark)[kind]
        return picture.decode() if kind == "svg" else picture

    def pictures(self, kinds: Collection[str], *, dark: bool = False) -> dict[str, bytes]:
        """Several of `svg`, `png` and `pdf`; the chart is drawn once, which for thousands of marks takes seconds."""
        import vl_convert

        svg = vl_convert.vegalite_to_svg(self._themed(dark))
        made = {"svg": svg.encode()} if "svg" in kinds else {}
        if "png" in kinds:
            made["png"] = vl_convert.svg_to_png(svg, scale=_PNG_SCALE)
        return made | ({"pdf": vl_convert.svg_to_pdf(svg)} if "pdf" in kinds else {})

    def n_rows(self) -> int:
        """Rows of data that the specification carries (count)."""
        return _count_rows(self.spec())

    def _themed(self, dark: bool) -> dict[str, Any]:
        config = theme(DARK if dark else LIGHT, background=True)
        return self.spec() | {"title": _drawable(self.title), "config": config, "padding": 12}


def _drawable(part: Any) -> Any:
    """The same with a replacement character for each that cannot be drawn."""
    if isinstance(part, str):
        return _UNDRAWABLE.sub("\N{REPLACEMENT CHARACTER}", part)
    if isinstance(part, dict):
        return {key: _drawable(value) for key, value in cast(dict[str, Any], part).items()}
    return [_drawable(value) for value in cast(list[Any], part)] if isinstance(part, list) else part


def _count_rows(part: Any) -> int:
    if isinstance(part, list):
        return sum(_count_rows(item) for item in cast(list[Any], part) if isinstance(item, dict | list))
    spec = cast(dict[str, Any], part)
    data: Any = spec.get("data")
    values = data.get("values", ()) if isinstance(data, dict) else ()
    datasets: dict[str, list[Any]] = spec.get("datasets", {})
    inner = (spec[key] for key in ("layer", "concat", "hconcat", "vconcat", "spec") if key in spec)
    return len(values) + sum(len(rows) for rows in datasets.values()) + sum(_count_rows(item) for item in inner)
