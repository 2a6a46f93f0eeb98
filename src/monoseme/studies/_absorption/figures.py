"""Figures of the absorption study: every dictionary beside its controls, rates over width and L0, and letter by letter."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from monoseme.reports.figures import Cell, Estimate, Figure, HeatScale, heat_map, interval_dots
from monoseme.studies._absorption.dictionaries import ALIKE
from monoseme.studies._base import Row

NAMES: Mapping[str, str] = {
    "absorption_rate": "absorption rate (ablation)",
    "full_absorption": "full absorption (projection)",
    "absorption_fraction": "absorption fraction (projection)",
    "partial_by_ablation": "partial absorption (ablation)",
    "partial_absorption": "partial absorption (projection)",
}
_READ_BESIDE = "F1 of the main latents"
_OF_LETTERS = (
    "The share of a letter's words that are absorbed. Blank: its probe finds none. Letters of few words jump; their numbers "
    "stand in the table."
)
_F1_OF_LETTERS = (
    "How well a letter's main latents tell it. Where a cell is faint, the rates of this letter and dictionary say nothing."
)
_MAIN = ("absorption_rate", "full_absorption", "absorption_fraction")
_UNLEARNED = "random"
"""The control that there is for every width and L0."""
_PANEL_WIDTH, _PANEL_HEIGHT = 200, 170
_ASIDE: Mapping[str, int] = {"width": 10, "l0": 5}
"""How far the dots of two architectures at one place stand apart (pixels); L0 has values between the places."""


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
        "Bars are 95 % intervals over words. Each panel has an axis of its own, which need not begin at 0.",
        columns=2,
    )


def rates_over(rows: Sequence[Row], by: str) -> Figure | None:
    """The measures over `width` or `l0`, a line of panels for each value of the other; None where all have about the same."""
    saes = [row for row in rows if not row["is_control"]]
    values = sorted({row[by] for row in saes})
    measures = [m for m in _MAIN if any(row.get(m) is not None for row in saes)]
    if len(values) < 2 or values[-1] < 1.2 * max(values[0], 1e-9) or not measures:
        return None
    held = [row for row in rows if not row["is_control"] or row["architecture"] == _UNLEARNED]
    names = list(dict.fromkeys(row["architecture"] for row in sorted(held, key=lambda row: row["l0"])))  # so dots are moved apart
    if by == "width":
        held = _one_at_each_place(held)
    tops = {m: max((_ends(row, m)[1] for row in held if row.get(m) is not None), default=0.0) or 1.0 for m in measures}
    charts = [
        _panel(some, by, measure, names, top=tops[measure]).properties(title=title)
        for title, some in _panel_rows(held, "l0" if by == "width" else "width")
        for measure in measures
    ]
    return Figure(
        name=f"absorption_over_{by}",
        title=f"Absorption against {'the width of the SAE' if by == 'width' else 'how many latents are on'}",
        caption="A dot for each SAE, with its 95 % interval over words; architectures are moved a little aside. Random "
        "dictionaries of the same size show what is there without learning.",
        chart=alt.concat(*charts, columns=len(measures), spacing=20).resolve_scale(color="shared", shape="shared"),
        has_own_size=True,
    )


def letter_map(rows: Sequence[Row], measure: str) -> Figure | None:
    """A measure, or the F1 to read it with, of each dictionary (rows) and letter that counts (columns); None without a value."""
    rows = [row for row in rows if row["counts"]]
    letters = sorted({row["letter"] for row in rows})
    held = {(row["subject"], row["letter"]): row for row in rows if row.get(measure) is not None}
    if not held:
        return None
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    cells = [_cell(subject, letter, held.get((subject, letter)), measure) for subject in subjects for letter in letters]
    name = NAMES.get(measure, _READ_BESIDE)
    return heat_map(
        f"letters_{measure}",
        cells,
        title=f"{name[0].upper()}{name[1:]}, letter by letter",
        caption=_OF_LETTERS if measure in NAMES else _F1_OF_LETTERS,
        scale=HeatScale(title=name, low=0.0),
        axes=("letter", ""),
        numbers=False,
    )


def _cell(subject: str, letter: str, row: Row | None, measure: str) -> Cell:
    if row is None:
        return Cell(subject, letter, None)
    note = f"{row['num_probe_true_positives']} words, F1 of the main latents {_told(row['k_sparse_f1'])}"
    return Cell(subject, letter, row[measure], note)


def _panel(rows: Sequence[Row], by: str, measure: str, names: list[str], *, top: float) -> alt.LayerChart:
    """Dots and bars of one measure, architectures side by side: moved by pixels alone, so that the axis stays true."""
    held = [row for row in rows if row.get(measure) is not None]
    layers: list[Any] = []
    for place, name in enumerate(names):
        values = [_point(row, by, measure) for row in held if row["architecture"] == name]
        aside = _ASIDE[by] * (place - (len(names) - 1) / 2)
        layers += _marks(values, _below(by, [row[by] for row in held]), measure, names, aside=aside, top=top)
    layered: Any = alt.layer(*layers)  # altair says it could become a FacetChart
    return layered.properties(width=_PANEL_WIDTH, height=_PANEL_HEIGHT)


def _marks(
    values: list[Row], x: alt.X, measure: str, names: list[str], *, aside: float, top: float
) -> tuple[alt.Chart, alt.Chart]:
    """The bars and the dots of one architecture."""
    scale = alt.Scale(domain=names)
    base = alt.Chart(alt.Data(values=values)).encode(x=x, color=alt.Color("architecture:N", sort=names, scale=scale, title=None))
    y = alt.Y("low:Q", title=NAMES[measure], scale=alt.Scale(domain=[0, top]), axis=alt.Axis(format="~g", tickCount=5))
    bars = base.mark_rule(strokeWidth=1.6, xOffset=aside).encode(y=y, y2="high:Q")
    dots = base.mark_point(size=56, filled=True, opacity=1, xOffset=aside).encode(
        y="value:Q",
        shape=alt.Shape("architecture:N", sort=names, scale=scale, title=None),
        tooltip=[
            alt.Tooltip("subject:N", title="SAE"),
            alt.Tooltip("width:Q", title="latents", format=",d"),
            alt.Tooltip("l0:Q", title="L0", format=".4~g"),
            alt.Tooltip("value:Q", title=NAMES[measure], format=".3f"),
        ],
    )
    return bars, dots


def _point(row: Row, by: str, measure: str) -> Row:
    low, high = _ends(row, measure)
    return {
        "subject": row["subject"],
        "architecture": row["architecture"],
        "x": row[by],
        "width": row["width"],
        "l0": row["l0"],
        "value": row[measure],
        "low": low,
        "high": high,
    }


def _ends(row: Row, measure: str) -> tuple[float, float]:
    """Of the interval; the value itself where there is none."""
    low, high = row[f"{measure}_low"], row[f"{measure}_high"]
    return (row[measure], row[measure]) if low is None or high is None else (low, high)


def _panel_rows(rows: Sequence[Row], by: str) -> list[tuple[str, list[Row]]]:
    """Title and rows of each line of panels: those of one width, or of L0 without a wide gap between them."""
    if by == "width":
        return [(f"{width:,} latents", [r for r in rows if r["width"] == width]) for width in sorted({r["width"] for r in rows})]
    groups: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: row["l0"]):
        if groups and row["l0"] <= ALIKE * groups[-1][-1]["l0"]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [(_about([row["l0"] for row in group]), group) for group in groups]


def _one_at_each_place(rows: Sequence[Row]) -> list[Row]:
    """The sparsest of an architecture at one width and about one L0; others would lie on it."""
    first: dict[tuple[str, str, int], Row] = {}
    for title, group in _panel_rows(rows, "l0"):
        for row in group:
            first.setdefault((title, row["architecture"], row["width"]), row)
    return list(first.values())


def _about(values: Sequence[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return f"L0 {low}" if low == high else f"L0 {low} to {high}"


def _below(by: str, values: Sequence[float]) -> alt.X:
    """Widths are few: a place for each. L0 is a number of its own for each SAE."""
    if by == "width":
        return alt.X("x:O", title="latents", axis=alt.Axis(labelAngle=0, grid=False, format=",d"))
    scale = alt.Scale(type="log", nice=False, padding=30)
    axis = alt.Axis(values=_ticks(sorted(values)), format=".3~g", grid=False)
    return alt.X("x:Q", title="L0: latents on at a word", scale=scale, axis=axis)


def _ticks(values: Sequence[float]) -> list[float]:
    """Those of the values that stand apart by half or more."""
    kept: list[float] = []
    for value in values:
        if not kept or value >= 1.5 * kept[-1]:
            kept.append(value)
    return kept


def _told(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
