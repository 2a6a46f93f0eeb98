"""Figures of the page on benchmarks."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from monoseme.reports.figures import Figure

_BAR = 22


def steps_figure(entries: Sequence[Mapping[str, Any]]) -> Figure:
    """Activations per second of every contestant in training TopK, a panel for each size; the line is the floor."""
    panels: Any = [_panel(entry) for entry in entries]  # altair's stubs do not let a chart with a title be stacked
    stacked: Any = alt.vconcat(*panels, spacing=18)
    return Figure(
        name="training_steps",
        title="Activations per second in training TopK",
        caption="Best steps of interleaved rounds, on a log scale. The line is what the floor of the machine would allow.",
        chart=stacked,
        has_own_size=True,
    )


def _panel(entry: Mapping[str, Any]) -> Any:
    floor = 1e3 * entry["batch"] / entry["floor"]["ms"]
    rows: list[dict[str, Any]] = [
        {"contestant": row["name"], "rate": 1e3 * entry["batch"] / row["best_ms"], "who": _who(row["name"])}
        for row in entry["contestants"]
    ]
    scale = alt.Scale(type="log", zero=False, domain=_domain([*(row["rate"] for row in rows), floor]), nice=False)
    # Points, since a bar on a log scale has no length that means anything.
    points = (
        alt.Chart(alt.Data(values=rows))
        .mark_circle(size=140, opacity=1)
        .encode(
            y=alt.Y("contestant:N", title=None, sort="-x", axis=alt.Axis(labelLimit=240, grid=True)),
            x=alt.X("rate:Q", title="activations per second", scale=scale, axis=alt.Axis(format="~s", grid=True)),
            color=alt.Color("who:N", title=None, sort=["monoseme", "others"]),
        )
    )
    line = (
        alt.Chart(alt.Data(values=[{"rate": floor}]))
        .mark_rule(strokeDash=[4, 3], strokeWidth=2)
        .encode(x=alt.X("rate:Q", scale=scale))
    )
    title = f"{entry['config']}: {entry['d_model']} to {entry['n_latents']:,} latents"
    return alt.layer(points, line).properties(width=440, height=_BAR * len(rows), title=title)


def _domain(rates: Sequence[float]) -> list[float]:
    """From a little below the slowest to a little above the fastest."""
    return [0.8 * min(rates), 1.25 * max(rates)]


def _who(name: str) -> str:
    return "monoseme" if name.partition(",")[0] in ("numba", "torch", "reference", "triton") else "others"
