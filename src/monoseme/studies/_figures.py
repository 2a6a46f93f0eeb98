"""Figures of the studies: many architectures at once, told apart by colour and shape, or as rows of a map."""

from collections.abc import Sequence

import altair as alt

from monoseme.reports.figures import Figure
from monoseme.studies._base import Row

_ROW_PIXELS = 20
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
    shade = alt.Color(f"{measure}:Q", scale=alt.Scale(range=list(_SHADES), domain=[0, 1]), legend=None)
    ink = alt.condition(f"datum.{measure} < 0.55", alt.value("#1e1c19"), alt.value("#ffffff"))
    squares = base.mark_rect(cornerRadius=2, stroke="transparent", strokeWidth=1).encode(color=shade)
    texts = base.mark_text(fontSize=11).encode(text=alt.Text(f"{measure}:Q", format=".2f"), color=ink)
    return Figure(
        name=f"recovery_{measure}",
        title=f"{_TITLES[measure]}, by kind of feature",
        caption="Rows are architectures, best first by F1; 1 is a perfect recovery of every feature of the kind.",
        chart=alt.layer(squares, texts),
        height=_ROW_PIXELS * len(architectures) + 10,
    )
