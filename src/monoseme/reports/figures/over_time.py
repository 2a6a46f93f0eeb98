"""How much codes change from token to token, the whole and by parts: what sets temporal SAEs apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from monoseme.core.intervals import Z_95
from monoseme.reports.figures._figure import Figure
from monoseme.reports.figures._scales import by_sae

METRIC = "smoothness_tv_relative"
"""Of the evaluation `smoothness`: total variation between neighbouring tokens, relative to the size of the codes."""
_ROW_HEIGHT, _FRAME = 24, 60


def variation_over_time(parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """A row for each part of each SAE; `parts` maps names to rows of the table `parts` of `smoothness`."""
    rows = [
        {
            "sae": sae,
            "row": sae if row["part"] == "all" else f"{sae}, {row['part']}",
            "value": row["value"],
            "low": row["value"] - Z_95 * (row["standard_error"] or 0.0),
            "high": row["value"] + Z_95 * (row["standard_error"] or 0.0),
        }
        for sae, found in parts.items()
        for row in found
        if row["metric"] == METRIC and row["value"] is not None
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("row:N", title=None, sort=[row["row"] for row in rows], axis=alt.Axis(labelLimit=240, grid=True)),
        color=by_sae(parts).legend(None),
    )
    x = alt.X("low:Q", title="relative total variation between neighbouring tokens", scale=alt.Scale(domain=[0, 2]))
    bars = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q")
    dots = base.mark_circle(size=90, opacity=1).encode(
        x="value:Q", tooltip=[alt.Tooltip("row:N", title="code"), alt.Tooltip("value:Q", format=".3f", title="variation")]
    )
    caption = (
        "0: nothing changes from one token to the next. 2: neighbours share no latent. Left is what lasts over a text; bars are "
        "95 % intervals over documents."
    )
    height = _FRAME + _ROW_HEIGHT * len(rows)
    return Figure(
        name="variation", title="How codes change over time", caption=caption, chart=alt.layer(bars, dots), height=height
    )
