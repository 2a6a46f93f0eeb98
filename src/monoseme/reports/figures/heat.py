"""Heat maps: a value for each pair of a row and a column, shaded by a scale that each theme brings its own colours for.

The specification names no colour: `range.heatmap` and `range.diverging` of the theme go from the page's own tone to the strongest
one (or between two), so weak cells recede on light and on dark pages alike.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import altair as alt

from monoseme.core.errors import ConfigError
from monoseme.reports.figures._figure import Figure

_WIDTH, _HEIGHT = 620, 420
_CELL_WIDTH, _CELL_HEIGHT = (2, 62), (3, 22)
"""Least and most pixels of a cell."""
_MOST_NUMBERS = 240
"""Cells up to which numbers are written on them."""
_LEAST_NUMBERED = 34
"""Pixels that a number needs."""
_LABEL_LIMIT = 220
_MOST_COLUMNS = 450
"""More are joined with their neighbours: two pixels each are all that a page has, and Vega takes no longer lists of names."""
_STRONG = 0.57
"""Share of the scale from which numbers are written in the page's colour."""


class Cell(NamedTuple):
    """One cell."""

    row: str
    column: str
    value: float | None
    """None: nothing is drawn there."""
    note: str = ""
    """Shown when the reader points at the cell, such as the token's text; "" for none."""


class HeatScale(NamedTuple):
    """How values become shades."""

    title: str = ""
    """Of the legend: the quantity and its unit."""
    low: float | None = None
    """Value of the weakest shade; None: the least that occurs (0 where none is negative)."""
    high: float | None = None
    """Value of the strongest shade; None: the largest that occurs."""
    kind: str = "linear"
    """linear, log (values above 0 only) or diverging (two colours, even around 0)."""
    decimals: int = 2
    """Of the numbers on the cells; of a log scale they have two digits whatever this is."""


def heat_map(
    name: str,
    cells: Iterable[Cell],
    *,
    title: str,
    caption: str,
    scale: HeatScale | None = None,
    axes: tuple[str, str] = ("", ""),
    numbers: bool | None = None,
) -> Figure:
    """Cells shaded by value; rows and columns in the order of their first appearance.

    `axes` are the titles below the columns and left of the rows. `numbers` writes values on the cells; None: where there are few.
    Of more than 450 columns, neighbours are joined to their mean, and the caption says so. Raises ConfigError where no cell has a
    value.
    """
    scale = scale or HeatScale()
    given = list(cells)
    n_joined = math.ceil(len({c.column for c in given}) / _MOST_COLUMNS)
    found = _joined(given, n_joined) if n_joined > 1 else given
    held = [c for c in found if c.value is not None and (scale.kind != "log" or c.value > 0)]
    if not held:
        raise ConfigError(f'the figure "{name}" has no value to show.\n  Leave it out where nothing was measured.')
    ends = _ends(held, scale)
    rows, columns = list(dict.fromkeys(c.row for c in found)), list(dict.fromkeys(c.column for c in found))
    width, height = _cell_width(len(columns)), _pixels(_HEIGHT, len(rows), _CELL_HEIGHT)
    base = _base(held, rows, columns, axes=axes)
    squares = base.mark_rect(stroke=None).encode(color=_color(scale, ends), tooltip=_tooltip(scale, axes))
    written = numbers if numbers is not None else len(held) <= _MOST_NUMBERS and width >= _LEAST_NUMBERED
    layers = [squares, *_numbers(base, scale, ends)] if written else [squares]
    layered: Any = alt.layer(*layers)  # altair says it could become a FacetChart
    chart = layered.properties(width=width * len(columns), height=height * len(rows))
    caption += f" Each column is the mean of {n_joined} neighbours." if n_joined > 1 else ""
    return Figure(name=name, title=title, caption=caption, chart=chart, has_own_size=True)


def _joined(cells: Sequence[Cell], n: int) -> list[Cell]:
    """The means of n neighbouring columns each, under the name of the first; missing values do not count."""
    order = {column: i // n for i, column in enumerate(dict.fromkeys(c.column for c in cells))}
    names = {place: column for column, place in reversed(order.items())}
    values: dict[tuple[str, str], list[float]] = {}
    for cell in cells:
        held = values.setdefault((cell.row, names[order[cell.column]]), [])
        if cell.value is not None:
            held.append(cell.value)
    return [Cell(row, column, sum(held) / len(held) if held else None) for (row, column), held in values.items()]


def _ends(held: Sequence[Cell], scale: HeatScale) -> tuple[float, float]:
    """Values of the weakest and the strongest shade."""
    values = [c.value for c in held if c.value is not None]
    if scale.kind == "diverging":
        reach = max(abs(v) for v in (scale.low, scale.high) if v is not None) if scale[1:3] != (None, None) else None
        reach = reach or max(abs(v) for v in values) or 1.0
        return -reach, reach
    low = scale.low if scale.low is not None else min(values) if scale.kind == "log" else min(0.0, *values)
    high = scale.high if scale.high is not None else max(values)
    return (low, high) if high > low else (low, low + 1.0)


def _base(held: Sequence[Cell], rows: list[str], columns: list[str], *, axes: tuple[str, str]) -> alt.Chart:
    values: list[dict[str, Any]] = [
        {"row": c.row, "column": c.column, "value": c.value} | ({"note": c.note} if c.note else {}) for c in held
    ]
    angle = -40 if max(len(column) for column in columns) * 7 > max(_cell_width(len(columns)), 24) else 0
    x_axis = alt.Axis(labelAngle=angle, labelOverlap="greedy", grid=False, ticks=False, domain=False, labelLimit=_LABEL_LIMIT)
    y_axis = alt.Axis(labelOverlap="greedy", grid=False, labelLimit=_LABEL_LIMIT)
    return alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("column:O", title=axes[0] or None, sort=columns, scale=alt.Scale(domain=columns, paddingInner=0), axis=x_axis),
        y=alt.Y("row:O", title=axes[1] or None, sort=rows, scale=alt.Scale(domain=rows, paddingInner=0), axis=y_axis),
    )


def _color(scale: HeatScale, ends: tuple[float, float]) -> alt.Color:
    legend = alt.Legend(
        title=scale.title or None,
        orient="top",
        direction="horizontal",
        gradientLength=200,
        gradientThickness=10,
        format="~g",
        tickCount=4,
    )
    kind = "log" if scale.kind == "log" else "linear"
    shades = alt.Scale(domain=list(ends), range="heatmap", type=kind, clamp=True, interpolate="lab")
    if scale.kind == "diverging":
        shades = alt.Scale(domain=list(ends), range="diverging", domainMid=0.0, clamp=True, interpolate="lab")
    return alt.Color("value:Q", scale=shades, legend=legend)


def _numbers(base: alt.Chart, scale: HeatScale, ends: tuple[float, float]) -> list[alt.Chart]:
    """The values, in the page's ink on weak cells and in the page's colour on strong ones."""
    low, high = ends
    if scale.kind == "diverging":
        strong = f"abs(datum.value) > {_STRONG * max(abs(low), abs(high))}"
    elif scale.kind == "log":
        strong = f"log(datum.value) > {math.log(low) + _STRONG * (math.log(high) - math.log(low))}"
    else:
        strong = f"datum.value > {low + _STRONG * (high - low)}"
    text = alt.Text("value:Q", format=".2~g" if scale.kind == "log" else f".{scale.decimals}f")
    return [
        base.transform_filter(f"!({strong})").mark_text(fontSize=11).encode(text=text),
        base.transform_filter(strong).mark_text(fontSize=11, style="on-strong").encode(text=text),
    ]


def _tooltip(scale: HeatScale, axes: tuple[str, str]) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("row:N", title=axes[1] or "row"),
        alt.Tooltip("column:N", title=axes[0] or "column"),
        alt.Tooltip("value:Q", title=scale.title or "value", format=".4~g"),
        alt.Tooltip("note:N", title="note"),
    ]


def _cell_width(n_columns: int) -> int:
    return _pixels(_WIDTH, n_columns, _CELL_WIDTH)


def _pixels(pixels: int, n: int, bounds: tuple[int, int]) -> int:
    return min(max(pixels // n, bounds[0]), bounds[1])
