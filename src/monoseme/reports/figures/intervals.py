"""Estimates with their intervals as dots and bars: a row for each subject, a panel for each quantity, side by side."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import altair as alt

from monoseme.core.errors import ConfigError
from monoseme.reports.figures._figure import Figure

_PANEL_WIDTH, _WIDE_PANEL, _NARROW_PANEL = 300, 460, 225
"""Of two panels side by side, of one alone, of three or more: what fits the page with their labels."""
_ROW_PIXELS, _GROUP_PIXELS = 26, 14
_LABEL_LIMIT = 240
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
"""A group has a shape beside its colour, so that it can be told without it."""


class Estimate(NamedTuple):
    """One dot with its bar."""

    row: str
    """What stands at the left: usually the SAE, or the SAE and its part."""
    value: float | None
    """None: the row is there without a dot."""
    low: float | None = None
    """Lower end of the interval; None: a dot without a bar."""
    high: float | None = None
    panel: str = ""
    """What the panel measures, its unit included; one panel for each different text."""
    group: str = ""
    """Told apart within a row by colour and shape, such as the probe's target; "" for all: no groups."""
    note: str = ""
    """Shown when the reader points at the dot."""


def interval_dots(
    name: str,
    estimates: Iterable[Estimate],
    *,
    title: str,
    caption: str,
    reference: float | None = None,
    is_log: bool = False,
    columns: int = 2,
) -> Figure:
    """Dots and bars, rows, groups and panels in the order of their first appearance; `reference` draws a line at that value.

    Each panel has its own axis; with `is_log` they are logarithmic, and what is not above 0 is left out. `columns` is how many
    panels stand side by side. Raises ConfigError where no estimate has a value.
    """
    found = [e for e in estimates if not is_log or all(end is None or end > 0 for end in (e.value, e.low))]
    if not any(e.value is not None for e in found):
        raise ConfigError(f'the figure "{name}" has no value to show.\n  Leave it out where nothing was measured.')
    panels = list(dict.fromkeys(e.panel for e in found if e.value is not None))
    width = _WIDE_PANEL if len(panels) == 1 else _PANEL_WIDTH if columns < 3 else _NARROW_PANEL
    charts = [_panel(panel, found, reference=reference, is_log=is_log).properties(width=width) for panel in panels]
    chart = charts[0] if len(charts) == 1 else alt.concat(*charts, columns=columns, spacing=28).resolve_scale(color="shared")
    return Figure(name=name, title=title, caption=caption, chart=chart, has_own_size=True)


def _panel(panel: str, estimates: Sequence[Estimate], *, reference: float | None, is_log: bool) -> alt.LayerChart:
    """One quantity over its own axis; rows that have no value in it stay out."""
    held = [e for e in estimates if e.panel == panel and e.value is not None]
    rows, groups = list(dict.fromkeys(e.row for e in held)), list(dict.fromkeys(e.group for e in estimates))
    base = _base(held, rows, groups)
    scale = alt.Scale(type="log" if is_log else "linear", zero=False, nice=False, padding=14)
    x = alt.X("low:Q", title=panel or None, scale=scale, axis=alt.Axis(format="~g", tickCount=5, grid=True))
    bars = base.mark_rule(strokeWidth=2, style="estimate").encode(x=x, x2="high:Q")
    dots = base.mark_point(size=70, filled=True, opacity=1).encode(
        x=alt.X("value:Q"), tooltip=_tooltip(panel, has_groups=len(groups) > 1)
    )
    layers = [bars, dots.encode(shape=_shape(groups))] if len(groups) > 1 else [bars, dots]
    if reference is not None:
        line = alt.Chart(alt.Data(values=[{"at": reference}])).mark_rule(strokeDash=[4, 3], strokeWidth=1).encode(x="at:Q")
        layers.insert(0, line)
    per_row = max(_ROW_PIXELS, _GROUP_PIXELS * len(groups) + 6 if len(groups) > 1 else 0)
    layered: Any = alt.layer(*layers)  # altair says it could become a FacetChart
    return layered.properties(height=per_row * len(rows))


def _base(held: Sequence[Estimate], rows: list[str], groups: list[str]) -> alt.Chart:
    values: list[dict[str, Any]] = [
        {
            "row": e.row,
            "value": e.value,
            "low": e.value if e.low is None else e.low,
            "high": e.value if e.high is None else e.high,
            "group": e.group,
            "note": e.note or _told(e),
        }
        for e in held
    ]
    axis = alt.Axis(labelLimit=_LABEL_LIMIT, grid=len(groups) < 2, domain=False)
    base = alt.Chart(alt.Data(values=values)).encode(y=alt.Y("row:N", title=None, sort=rows, axis=axis))
    if len(groups) < 2:
        return base
    return base.encode(
        yOffset=alt.YOffset("group:N", sort=groups, scale=alt.Scale(domain=groups)),
        color=alt.Color("group:N", sort=groups, scale=alt.Scale(domain=groups)),
    )


def _shape(groups: list[str]) -> alt.Shape:
    shapes = [_SHAPES[i % len(_SHAPES)] for i in range(len(groups))]
    return alt.Shape("group:N", sort=groups, scale=alt.Scale(domain=groups, range=shapes))


def _tooltip(panel: str, *, has_groups: bool) -> list[alt.Tooltip]:
    group = [alt.Tooltip("group:N", title="of")] if has_groups else []
    return [alt.Tooltip("row:N", title="row"), *group, alt.Tooltip("note:N", title=panel or "value")]


def _told(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"
