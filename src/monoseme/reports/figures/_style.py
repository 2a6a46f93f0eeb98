"""How every figure looks, light and dark; the specifications themselves carry no colours but those of data.

The page, the web app and exported files put one of these configs under a figure, so that one specification serves all of them.
"""

from typing import Any, Final, NamedTuple

_SANS: Final = "-apple-system, BlinkMacSystemFont, 'Segoe UI', Inter, Roboto, 'Noto Sans', Arial, 'DejaVu Sans', sans-serif"


class Ink(NamedTuple):
    """The colours of one theme."""

    text: str
    faint: str
    grid: str
    background: str
    categories: tuple[str, ...]
    """Told apart without red and green too: a test says by how much."""
    weak_to_strong: tuple[str, ...]
    """Of heat maps; the first is close to the page."""
    two_sided: tuple[str, ...]
    """From most negative over the page's tone to most positive."""


LIGHT: Final = Ink(
    text="#1e1c19",
    faint="#6b655b",
    grid="#e9e5dd",
    background="#ffffff",
    categories=("#335acc", "#d67315", "#309e87", "#841873", "#524702", "#cf4c40", "#3b8ea5", "#5a5950"),
    weak_to_strong=("#f6f4ef", "#c6d3f2", "#7697df", "#2856c3", "#12296b"),
    two_sided=("#1a3f9c", "#6787d8", "#f6f4ef", "#d0853f", "#853d00"),
)
DARK: Final = Ink(
    text="#ece8e0",
    faint="#a39c91",
    grid="#34312d",
    background="#1d1b19",
    categories=("#89aefc", "#bb7931", "#8edf98", "#b6729c", "#f1d452", "#ff9bb7", "#68e0fe", "#998b7c"),
    weak_to_strong=("#23262e", "#2b3f74", "#3d60ba", "#8fb1ff", "#dfe9ff"),
    two_sided=("#c3d6ff", "#466bc6", "#242220", "#a8611f", "#ffcf9c"),
)


def theme(ink: Ink, *, background: bool) -> dict[str, Any]:
    """The Vega-Lite config of that theme; without `background` the page shows through."""
    axis = {
        "labelColor": ink.faint,
        "titleColor": ink.faint,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "gridColor": ink.grid,
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
    }
    return {
        "font": _SANS,
        "background": ink.background if background else "transparent",
        "view": {"stroke": None},
        "axis": axis,
        "axisX": {"domain": True, "domainColor": ink.faint, "grid": False, "ticks": True, "tickColor": ink.faint, "tickSize": 4},
        "legend": {
            "labelColor": ink.text,
            "labelFontSize": 12,
            "title": None,
            "titleColor": ink.faint,
            "titleFontWeight": "normal",
            "orient": "top",
            "symbolType": "circle",
            "symbolSize": 90,
            "symbolOpacity": 1,
            "symbolBaseFillColor": ink.faint,  # of a legend of shapes alone; Vega's black cannot be seen on dark
            "offset": 4,
        },
        "title": {
            "color": ink.text,
            "subtitleColor": ink.faint,
            "fontSize": 13,
            "fontWeight": 600,
            "anchor": "start",
            "offset": 10,
        },
        "header": {"labelColor": ink.text, "titleColor": ink.faint, "labelFontSize": 12},
        "range": {
            "category": list(ink.categories),
            "heatmap": list(ink.weak_to_strong),
            "ramp": list(ink.weak_to_strong),
            "diverging": list(ink.two_sided),
        },
        "rule": {"color": ink.faint},
        "text": {"color": ink.text},
        "mark": {"color": ink.categories[0]},
        "style": {"on-strong": {"color": ink.background}, "estimate": {"color": ink.categories[0]}},
    }
