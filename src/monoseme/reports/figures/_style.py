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


LIGHT: Final = Ink(
    text="#1e1c19",
    faint="#6b655b",
    grid="#e9e5dd",
    background="#ffffff",
    categories=("#2856c3", "#d9730d", "#1f8a70", "#a13d9c", "#8a6d00", "#c2334d", "#3b8ea5", "#6b655b"),
)
DARK: Final = Ink(
    text="#ece8e0",
    faint="#a39c91",
    grid="#34312d",
    background="#1d1b19",
    categories=("#8fb1ff", "#f5a04c", "#54c8a8", "#dd8ad8", "#d8bb4a", "#ff8a9c", "#7cc6db", "#a39c91"),
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
            "orient": "top",
            "symbolType": "circle",
            "symbolSize": 90,
            "symbolOpacity": 1,
            "offset": 4,
        },
        "title": {"color": ink.text, "fontSize": 13, "fontWeight": 600, "anchor": "start", "offset": 10},
        "header": {"labelColor": ink.text, "titleColor": ink.faint, "labelFontSize": 12},
        "range": {"category": list(ink.categories)},
        "rule": {"color": ink.faint},
        "text": {"color": ink.text},
    }
