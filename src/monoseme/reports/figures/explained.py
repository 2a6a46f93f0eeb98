"""How well explanations tell what latents do, from their weakest firings to their strongest."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from monoseme.atlas.score_summary import ScoreSummary
from monoseme.reports.figures._figure import Figure
from monoseme.reports.figures._scales import by_sae

_PANEL_WIDTH, _PANEL_HEIGHT = 400, 180


def scores_by_decile(summaries: "Mapping[str, Sequence[ScoreSummary]]") -> list[Figure]:
    """A figure with a panel for each number that is told apart by tenths; none where no scorer does. `summaries` by SAE."""
    rows = [row for sae, found in summaries.items() for summary in found for row in _rows(sae, summary)]
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    if not panels:
        return []
    charts = [_panel([row for row in rows if row["panel"] == panel], panel, summaries) for panel in panels]
    caption = (
        "Means over latents with 95 % intervals. Explanations are mostly made from strong firings; where the line falls to the"
        " left, weak ones are not what the explanation says. Chance is 0.5 for accuracies and AUROC, 0 for correlations."
    )
    chart: Any = alt.concat(*charts, columns=1, spacing=24)
    return [Figure(name="explained", title="Scores by strength of firing", caption=caption, chart=chart, has_own_size=True)]


def _rows(sae: str, summary: ScoreSummary) -> list[dict[str, Any]]:
    panel = f"{summary.name.replace('_', ' ')} ({summary.scorer} of {summary.explanations})"
    return [
        {"sae": sae, "panel": panel, "decile": decile + 1, "value": mean.mean, "low": mean.low, "high": mean.high}
        | {"n": mean.n_latents}
        for decile, mean in summary.deciles.items()
    ]


def _panel(rows: list[dict[str, Any]], panel: str, saes: Mapping[str, object]) -> alt.LayerChart:
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("decile:O", title="tenth of the activations, 10 the strongest", axis=alt.Axis(labelAngle=0)),
        color=by_sae(saes),
    )
    # a number that is the same everywhere (0.5, of a judge who always says no) has no spread to make an axis of
    ends = [end for row in rows for end in (row["value"], row["low"], row["high"]) if end is not None]
    scale = alt.Scale(zero=False, domain=[min(ends) - 0.05, max(ends) + 0.05])
    y = alt.Y("value:Q", scale=scale)
    low = alt.Y("low:Q", title="mean over latents", scale=scale)
    bars = base.mark_rule(strokeWidth=1.5).encode(y=low, y2="high:Q")
    line = base.mark_line(point=alt.OverlayMarkDef(size=45), strokeWidth=2).encode(
        y=y,
        tooltip=[
            alt.Tooltip("sae:N", title="SAE"),
            alt.Tooltip("decile:O", title="tenth"),
            alt.Tooltip("value:Q", format=".3f", title="mean"),
            alt.Tooltip("n:Q", title="latents"),
        ],
    )
    layered: Any = alt.layer(bars, line)
    title = alt.TitleParams(panel, fontSize=12, fontWeight="normal", anchor="start", limit=_PANEL_WIDTH + 60)
    return layered.properties(width=_PANEL_WIDTH, height=_PANEL_HEIGHT, title=title)
