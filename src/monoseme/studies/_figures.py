"""Figures of the studies: many architectures at once, told apart by colour and shape, or as rows of a map."""

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt

from monoseme.reports.figures import Figure
from monoseme.studies._base import Row

_COLUMN_PIXELS, _ROW_PIXELS = 82, 20
_PANEL_WIDTH, _PANEL_HEIGHT = 330, 230
_LEAST_LOG = 1e-6
"""What a logarithmic axis leaves out: the identity explains everything."""
_SHADES = ("#f4f1ea", "#2856c3")
"""From 0 to 1, on light and dark pages alike: the numbers are written on them."""
_TITLES = {"f1": "F1 of the firing", "mmcs": "Largest cosine to a latent"}


def recovery_map(rows: Sequence[Row], measure: str) -> Figure:
    """Architectures by kind of feature, shaded by `measure` (f1, mmcs or found); rows in the order given, the best first."""
    architectures = list(dict.fromkeys(row["architecture"] for row in rows))
    families = list(dict.fromkeys(row["features"] for row in rows))
    base = alt.Chart(alt.Data(values=[{k: row[k] for k in ("architecture", "features", measure)} for row in rows])).encode(
        x=alt.X("features:N", title=None, sort=families, axis=alt.Axis(orient="top", labelAngle=0, domain=False, ticks=False)),
        y=alt.Y("architecture:N", title=None, sort=architectures, axis=alt.Axis(labelLimit=160)),
    )
    shade = alt.Color(f"{measure}:Q", scale=alt.Scale(range=list(_SHADES), domain=[0, 1], interpolate="rgb"), legend=None)
    ink = alt.condition(f"datum.{measure} < 0.7", alt.value("#1e1c19"), alt.value("#ffffff"))
    squares = base.mark_rect(cornerRadius=2, stroke="transparent", strokeWidth=1).encode(color=shade)
    texts = base.mark_text(fontSize=11).encode(text=alt.Text(f"{measure}:Q", format=".2f"), color=ink)
    return Figure(
        name=f"recovery_{measure}",
        title=f"{_TITLES[measure]}, by kind of feature",
        caption="Rows are architectures, best first by F1; 1 is a perfect recovery of every feature of the kind.",
        chart=alt.layer(squares, texts).properties(width=alt.Step(_COLUMN_PIXELS), height=alt.Step(_ROW_PIXELS)),
        has_own_size=True,
    )


class _Panel(NamedTuple):
    """One of the small charts over L0."""

    column: str
    title: str
    is_log: bool = False


_PANELS = (
    _Panel("fvu", "FVU (log)", is_log=True),
    _Panel("ce_recovered", "CE recovered"),
    _Panel("dead_fraction", "dead fraction"),
    _Panel("smoothness", "relative total variation over time"),
)
_SHAPES = ("circle", "square", "triangle-up", "diamond")
_N_COLORS = 8
"""Colours of the theme; with more architectures they repeat in another shape."""


def tradeoffs(rows: Sequence[Row]) -> Figure:
    """FVU, CE recovered, dead fraction and smoothness over L0: a line for each architecture, a point for each SAE.

    Baselines without a sparsity to set, whose L0 is the whole width, would stretch the axis and are left out.
    """
    rows = [row for row in rows if row["target_l0"] is not None]
    architectures = list(dict.fromkeys(row["architecture"] for row in rows))
    shapes = [_SHAPES[i // _N_COLORS % len(_SHAPES)] for i in range(len(architectures))]
    legend = alt.Legend(columns=7, orient="top", symbolStrokeWidth=1.6, symbolSize=60, labelFontSize=11)
    color = alt.Color("architecture:N", scale=alt.Scale(domain=architectures), sort=architectures, legend=legend)
    shape = alt.Shape("architecture:N", scale=alt.Scale(domain=architectures, range=shapes), sort=architectures, legend=legend)
    charts = [
        _panel(panel, rows).encode(color=color, shape=shape).properties(width=_PANEL_WIDTH, height=_PANEL_HEIGHT)
        for panel in _PANELS
    ]
    return Figure(
        name="tradeoffs",
        title="What each architecture gives up and gains at the same L0",
        caption="Lines join the SAEs of one architecture by their L0 on held-out text. FVU: lower is better; CE recovered: "
        "higher; total variation: lower is smoother.",
        chart=alt.concat(*charts, columns=2).resolve_scale(color="shared", shape="shared"),
        has_own_size=True,
    )


def _panel(panel: _Panel, rows: Sequence[Row]) -> alt.Chart:
    columns = ("sae", "architecture", "l0", panel.column)
    values = [{k: row[k] for k in columns} for row in rows if row["l0"] and row[panel.column] is not None]
    values = [value for value in values if value[panel.column] > _LEAST_LOG or not panel.is_log]
    scale = alt.Scale(type="log", nice=False, padding=8) if panel.is_log else alt.Scale(zero=False, padding=8)
    return (
        alt.Chart(alt.Data(values=values))
        .mark_line(strokeWidth=1.4, point=alt.OverlayMarkDef(size=46, filled=True, opacity=1))
        .encode(
            x=alt.X(
                "l0:Q",
                title="L0 (log)",
                scale=alt.Scale(type="log", nice=False, padding=12),
                axis=alt.Axis(format="~g", tickCount=5),
            ),
            y=alt.Y(f"{panel.column}:Q", title=panel.title, scale=scale, axis=alt.Axis(format="~g", tickCount=5)),
            tooltip=[
                alt.Tooltip("sae:N", title="SAE"),
                alt.Tooltip("l0:Q", format=".3g", title="L0"),
                alt.Tooltip(f"{panel.column}:Q", format=".4g", title=panel.title),
            ],
        )
    )
