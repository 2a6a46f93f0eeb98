"""Figures of the absorption study: every dictionary beside its controls, rates over width and L0, and letter by letter."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from monoseme.reports.figures import Cell, Estimate, Figure, HeatScale, heat_map, interval_dots
from monoseme.studies._base import Row

NAMES: Mapping[str, str] = {
    "absorption_rate": "absorption rate (ablation)",
    "full_absorption": "full absorption (projection)",
    "absorption_fraction": "absorption fraction (projection)",
    "partial_by_ablation": "partial absorption (ablation)",
    "partial_absorption": "partial absorption (projection)",
}
_READ_BESIDE = "F1 of the main latents"
_MAIN = ("absorption_rate", "full_absorption", "absorption_fraction")
_PANEL_WIDTH, _PANEL_HEIGHT = 190, 210


def rates_by_dictionary(rows: Sequence[Row]) -> Figure | None:
    """Every dictionary as a row; the measures, and the F1 that they are to be read with, as panels. None without a value."""
    worth = [m for m in NAMES if m in _MAIN or any(row.get(m) for row in rows)]  # a panel of partial ones that are all 0 is none
    shown = [
        Estimate(
            row=row["subject"], value=row[m], low=row[f"{m}_low"], high=row[f"{m}_high"], panel=f"{NAMES[m]}, mean over letters"
        )
        for m in worth
        for row in rows
        if row.get(m) is not None
    ]
    if not shown:
        return None
    f1 = [Estimate(row=row["subject"], value=row["k_sparse_f1"], panel=f"{_READ_BESIDE}, mean over letters") for row in rows]
    return interval_dots(
        "absorption_by_sae",
        [*f1, *shown],
        title="How often a letter's latents leave a word to another latent",
        caption="Read the first panel first: where the main latents do not tell the letter at all, a rate, high or low, says "
        "nothing. Random and PCA dictionaries of the same size say what a number looks like without learning. "
        "Bars are 95 % intervals over words.",
        columns=2,
    )


def rates_over(rows: Sequence[Row], by: str) -> Figure | None:
    """The three measures over `width` or `l0` of the SAEs; None where all have about the same."""
    held = [row for row in rows if not row["is_control"]]
    values = sorted({row[by] for row in held})
    measures = [m for m in _MAIN if any(row.get(m) is not None for row in held)]
    if len(values) < 2 or values[-1] < 1.2 * max(values[0], 1e-9) or not measures:
        return None
    axis = "latents" if by == "width" else "L0: latents on at a word"
    names = list(dict.fromkeys(row["architecture"] for row in held))
    charts = [_points(held, by, axis, measure, names) for measure in measures]
    return Figure(
        name=f"absorption_over_{by}",
        title=f"Absorption against {'the width of the SAE' if by == 'width' else 'how many latents are on'}",
        caption="A dot for each SAE, with its 95 % interval over words. Dots of one colour are of one architecture.",
        chart=alt.concat(*charts, columns=3, spacing=20).resolve_scale(color="shared", shape="shared"),
        has_own_size=True,
    )


def letter_map(rows: Sequence[Row], measure: str) -> Figure | None:
    """The measure of each dictionary (rows) and letter that counts (columns); None without a value."""
    rows = [row for row in rows if row["counts"]]
    letters = sorted({row["letter"] for row in rows})
    held = {(row["subject"], row["letter"]): row for row in rows if row.get(measure) is not None}
    if not held:
        return None
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    cells = [_cell(subject, letter, held.get((subject, letter)), measure) for subject in subjects for letter in letters]
    return heat_map(
        f"letters_{measure}",
        cells,
        title=f"{NAMES[measure].capitalize()} letter by letter",
        caption="The share of a letter's words that are absorbed. Blank: its probe finds none. Letters of few words jump; "
        "their numbers stand in the table.",
        scale=HeatScale(title=NAMES[measure], low=0.0),
        axes=("letter", ""),
        numbers=False,
    )


def _cell(subject: str, letter: str, row: Row | None, measure: str) -> Cell:
    if row is None:
        return Cell(subject, letter, None)
    note = f"{row['num_probe_true_positives']} words, F1 of the main latents {_told(row['k_sparse_f1'])}"
    return Cell(subject, letter, row[measure], note)


def _points(rows: Sequence[Row], by: str, axis: str, measure: str, names: list[str]) -> alt.LayerChart:
    values = [
        {
            "subject": row["subject"],
            "architecture": row["architecture"],
            "x": row[by],
            "value": row[measure],
            "low": row[measure] if row[f"{measure}_low"] is None else row[f"{measure}_low"],
            "high": row[measure] if row[f"{measure}_high"] is None else row[f"{measure}_high"],
        }
        for row in rows
        if row.get(measure) is not None
    ]
    base = alt.Chart(alt.Data(values=values)).encode(
        **_below(by, axis, sorted({v["x"] for v in values}), names),
        color=alt.Color("architecture:N", sort=names, scale=alt.Scale(domain=names)),
    )
    top = max((v["high"] for v in values), default=0.0) or 1.0
    y = alt.Y("low:Q", title=NAMES[measure], scale=alt.Scale(domain=[0, top]), axis=alt.Axis(format="~g", tickCount=5))
    bars = base.mark_rule(strokeWidth=1.4, opacity=0.8).encode(y=y, y2="high:Q")
    dots = base.mark_point(size=64, filled=True, opacity=1).encode(
        y="value:Q",
        shape=alt.Shape("architecture:N", sort=names, scale=alt.Scale(domain=names)),
        tooltip=[
            alt.Tooltip("subject:N", title="SAE"),
            alt.Tooltip("x:Q", title=axis, format=".4~g"),
            alt.Tooltip("value:Q", title=NAMES[measure], format=".3f"),
        ],
    )
    layered: Any = alt.layer(bars, dots)  # altair says it could become a FacetChart
    return layered.properties(width=_PANEL_WIDTH, height=_PANEL_HEIGHT)


def _below(by: str, axis: str, values: Sequence[float], names: list[str]) -> dict[str, Any]:
    """Widths are few: a place for each, in which architectures stand side by side. L0 is a number of its own for each SAE."""
    if by == "width":
        labels = alt.Axis(labelAngle=0, grid=False)
        return {"x": alt.X("x:O", title=axis, axis=labels), "xOffset": alt.XOffset("architecture:N", sort=names)}
    scale = alt.Scale(type="log", nice=False, padding=16)
    return {"x": alt.X("x:Q", title=axis, scale=scale, axis=alt.Axis(values=_ticks(values), format=".3~g", grid=False))}


def _ticks(values: Sequence[float]) -> list[float]:
    """Those of the values that stand apart by a quarter or more."""
    kept: list[float] = []
    for value in values:
        if not kept or value >= 1.25 * kept[-1]:
            kept.append(value)
    return kept


def _told(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
