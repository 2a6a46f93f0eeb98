"""The charts of a run, as Vega-Lite specifications with their data inside; the front end gives them their colours."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monoseme.web import _schema as schema

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_MAX_POINTS = 400
"""Points drawn per curve; more than a screen has columns."""

_CURVES = {
    "fvu": ("FVU", "Fraction of variance unexplained", "log"),
    "loss": ("Loss", "Loss", "linear"),
    "l0": ("L0", "Active latents per token", "linear"),
    "dead_fraction": ("Dead latents", "Dead latents, fraction", "linear"),
    "tokens_per_second": ("Speed", "Tokens per second", "linear"),
    "lr": ("Learning rate", "Learning rate", "linear"),
    "grad_norm": ("Gradient norm", "Gradient norm", "linear"),
}


def curves(rows: Sequence[Mapping[str, Any]]) -> list[schema.Chart]:
    """The curves that a metrics file has numbers for."""
    known = {name for row in rows for name, value in row.items() if value is not None}
    return [schema.Chart(name=name, title=title, group="training") for name, (title, _, _) in _CURVES.items() if name in known]


def curve(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """One number over training, a line per SAE; numbers on held-out text as dots."""
    _, title, scale = _CURVES[name]
    values = [
        {"tokens": row["tokens"], "value": row[name], "sae": row["sae"], "text": "held-out" if row.get("event") else "training"}
        for row in rows
        if row.get(name) is not None and (scale == "linear" or row[name] > 0)
    ]
    encoding = {
        "x": {
            "field": "tokens",
            "type": "quantitative",
            "title": "Tokens",
            "axis": {"format": "~s", "tickCount": 6, "grid": False},
        },
        "y": {
            "field": "value",
            "type": "quantitative",
            "title": title,
            "scale": {"type": scale, "zero": False},
            "axis": {"tickCount": 5},
        },
        "color": {"field": "sae", "type": "nominal", "title": "SAE"},
        "tooltip": [
            {"field": "sae", "title": "SAE"},
            {"field": "text", "title": "on"},
            {"field": "tokens", "type": "quantitative", "format": ","},
            {"field": "value", "type": "quantitative", "format": ".4~g", "title": title},
        ],
    }
    lines = {"mark": {"type": "line", "interpolate": "monotone"}, "transform": [{"filter": "datum.text == 'training'"}]}
    dots = {"mark": {"type": "point", "filled": True, "size": 36}, "transform": [{"filter": "datum.text == 'held-out'"}]}
    return {"$schema": _SCHEMA, "data": {"values": _thinned(values)}, "encoding": encoding, "layer": [lines, dots]}


def _thinned(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most _MAX_POINTS of each curve, evenly spaced, the last one always."""
    series: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for value in values:
        series.setdefault((value["sae"], value["text"]), []).append(value)
    thin: list[dict[str, Any]] = []
    for points in series.values():
        step = -(-len(points) // _MAX_POINTS)
        thin += [*points[:-1:step], points[-1]]
    return thin


def densities(tables: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, Any]:
    """How many latents fire how often, one outline per SAE, from rows of (low, high, n_latents) in log bins."""
    values = [
        {"low": row["low"], "high": row["high"], "n": row["n_latents"], "sae": sae}
        for sae, rows in tables.items()
        for row in rows
        if row["low"] > 0
    ]
    encoding = {
        "x": {
            "field": "low",
            "type": "quantitative",
            "scale": {"type": "log"},
            "title": "Density (fraction of tokens)",
            "axis": {"format": "~e", "tickCount": 6, "grid": False},
        },
        "x2": {"field": "high"},
        "y": {"field": "n", "type": "quantitative", "title": "Latents", "stack": False, "axis": {"tickCount": 5}},
        "color": {"field": "sae", "type": "nominal", "title": "SAE"},
        "tooltip": [
            {"field": "sae", "title": "SAE"},
            {"field": "low", "type": "quantitative", "format": ".2e", "title": "from"},
            {"field": "high", "type": "quantitative", "format": ".2e", "title": "to"},
            {"field": "n", "type": "quantitative", "format": ",", "title": "latents"},
        ],
    }
    bars = {"mark": {"type": "bar", "opacity": 0.5}, "encoding": encoding}
    return {"$schema": _SCHEMA, "data": {"values": values}, **bars}


def histogram(bins: schema.Histogram) -> dict[str, Any]:
    """The activations of one latent; bins are logarithmic, so equal widths on a log axis."""
    pairs = zip(bins.edges[:-1], bins.edges[1:], bins.counts, strict=True)
    values = [{"low": low, "high": high, "n": n} for low, high, n in pairs if n]
    encoding = {
        "x": {
            "field": "low",
            "type": "quantitative",
            "scale": {"type": "log", "nice": False},
            "title": "Activation (log scale)",
            "axis": {"format": "~g", "tickCount": 5, "grid": False},
        },
        "x2": {"field": "high"},
        "y": {"field": "n", "type": "quantitative", "title": "Tokens", "axis": {"tickCount": 4, "format": "~s"}},
        "tooltip": [
            {"field": "low", "type": "quantitative", "format": ".3~g", "title": "from"},
            {"field": "high", "type": "quantitative", "format": ".3~g", "title": "to"},
            {"field": "n", "type": "quantitative", "format": ",", "title": "tokens"},
        ],
    }
    return {"$schema": _SCHEMA, "data": {"values": values}, "mark": "bar", "encoding": encoding}
