"""A figure: a Vega-Lite specification with its name, title and caption, and what it exports to."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoseme.core.errors import ConfigError
from monoseme.core.files import to_json, write_atomic
from monoseme.reports.figures._style import DARK, LIGHT, theme

if TYPE_CHECKING:
    import altair as alt

FORMATS = ("png", "svg", "pdf", "json")
_WIDTH, _HEIGHT = 460, 260
_PNG_SCALE = 2.0


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
        """The Vega-Lite specification with its data inside and no theme; `width="container"` fills a page's column."""
        if self.has_own_size:
            return self.chart.to_dict()
        chart: Any = self.chart  # altair's stubs give a ConcatChart no width
        return chart.properties(width=width, height=self.height).to_dict() | {
            "autosize": {"type": "fit-x", "contains": "padding"}
        }

    def save(self, path: Path, *, dark: bool = False) -> None:
        """Writes it in the format of the path's ending: .png, .svg, .pdf or .json (the specification). Needs no browser.

        Raises ConfigError for another ending, DiskFullError.
        """
        write_atomic(path, self.render(path.suffix.lstrip(".").lower(), dark=dark))

    def render(self, kind: str, *, dark: bool = False) -> bytes | str:
        """The figure as `png` (twice the pixels, for print and screens alike), `svg`, `pdf` or `json`, title included."""
        import vl_convert

        if kind not in FORMATS:
            raise ConfigError(f'a figure cannot be written as "{kind}".\n  Allowed: {", ".join(FORMATS)}')
        config = theme(DARK if dark else LIGHT, background=True)
        spec = self.spec() | {"title": self.title, "config": config, "padding": 12}
        if kind == "json":
            return to_json(spec)
        if kind == "svg":
            return vl_convert.vegalite_to_svg(spec)
        if kind == "pdf":
            return vl_convert.vegalite_to_pdf(spec)
        return vl_convert.vegalite_to_png(spec, scale=_PNG_SCALE)
