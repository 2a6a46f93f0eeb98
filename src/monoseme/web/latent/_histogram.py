"""The histogram of one latent's activations, as a Vega-Lite specification."""

from typing import Any

from monoseme.web.values import Histogram


def chart(bins: Histogram) -> dict[str, Any]:
    """The activations of one latent; bins are logarithmic, so equal widths on a log axis."""
    pairs = zip(bins.edges[:-1], bins.edges[1:], bins.counts, strict=True)
    values = [{"low": low, "high": high, "n": n} for low, high, n in pairs if n]
    x = {
        "field": "low",
        "type": "quantitative",
        "scale": {"type": "log", "nice": False},
        "title": "activation (log)",
        "axis": {"format": "~g", "tickCount": 5},
    }
    tooltip = [
        {"field": "low", "type": "quantitative", "format": ".3~g", "title": "from"},
        {"field": "high", "type": "quantitative", "format": ".3~g", "title": "below"},
        {"field": "n", "type": "quantitative", "format": ",", "title": "tokens"},
    ]
    encoding = {
        "x": x,
        "x2": {"field": "high"},
        "y": {"field": "n", "type": "quantitative", "title": "tokens", "axis": {"tickCount": 4, "format": "~s"}},
        "y2": {"datum": 0},
        "tooltip": tooltip,
    }
    # Rectangles, because a bar with two ends in x takes y for its place and not its height. They have no fill of their own and
    # so take the page's colour for activations.
    return {"data": {"values": values}, "mark": "rect", "encoding": encoding}
