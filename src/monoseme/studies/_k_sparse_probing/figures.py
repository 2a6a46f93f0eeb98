"""Figures of the study of sparse probes: F1 by the number of latents, letter by letter, and how many latents share a letter."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from monoseme.reports.figures import Cell, Figure, HeatScale, heat_map
from monoseme.studies._base import Row
from monoseme.studies._first_letter.figures import against_l0
from monoseme.studies._first_letter.summary import over_letters

_MOST_LINES = 8
_PROBE = "probe on activations"


def figures_of(saes: Sequence[Row], scores: Sequence[Row], splits: Sequence[Row]) -> list[Figure]:
    """All that can be drawn: `saes` are summary rows, `scores` and `splits` those of the tables, letters that count alone."""
    made = [
        f1_by_k(scores),
        f1_map(scores),
        split_map(splits),
        against_l0(
            "f1_l0",
            saes,
            "f1_k_1",
            title="F1 of the best single latent against L0",
            y_title="F1 with one latent",
            caption="Mean over letters of F1 on test words. High: one latent carries the letter. Bars are 95 % intervals over "
            "letters.",
        ),
        against_l0(
            "splits_l0",
            saes,
            "num_split_features",
            title="Feature splitting against L0",
            y_title="latents beyond the first",
            caption="Mean over letters of how many further latents raise F1 by more than the jump each. High: letters are spread "
            "over several latents. Bars are 95 % intervals over letters.",
        ),
    ]
    return [figure for figure in made if figure is not None]


def f1_by_k(scores: Sequence[Row]) -> Figure | None:
    """Mean F1 over letters by k, a line for each SAE (the first eight), and the probe on activations as a dashed one."""
    if not scores:
        return None
    saes = list(dict.fromkeys(row["sae"] for row in scores))[:_MOST_LINES]
    ks = sorted({row["k"] for row in scores})
    means = {
        (sae, k): over_letters([row["f1"] for row in scores if row["sae"] == sae and row["k"] == k]) for sae in saes for k in ks
    }
    values: list[dict[str, Any]] = [{"sae": sae, "k": k, "f1": m.value} for (sae, k), m in means.items() if m is not None]
    if not values:
        return None
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X(
            "k:Q",
            title="latents (logarithmic)",
            scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(values=_ticks(ks), format="d"),
        ),
        y=alt.Y("f1:Q", title="F1, mean over letters", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="~g", tickCount=6)),
    )
    legend = alt.Legend(columns=2, labelLimit=260) if len(saes) > 1 else None
    lines = base.mark_line(strokeWidth=2, point={"size": 34}).encode(
        color=alt.Color("sae:N", sort=saes, scale=alt.Scale(domain=saes), legend=legend),
        tooltip=["sae:N", alt.Tooltip("k:Q"), alt.Tooltip("f1:Q", format=".3f")],
    )
    return Figure(
        name="f1_by_k",
        title="How well a few latents tell the letter",
        caption="F1 on test words of logistic regressions on the k latents that were chosen for each letter, mean over letters. "
        "The dashed line is the probe on the activations themselves: what there is to be found.",
        chart=alt.layer(*_reference(scores), lines),
    )


def _reference(scores: Sequence[Row]) -> list[alt.Chart]:
    site_of = {row["sae"]: row["site"] for row in scores}
    one = next(iter(site_of))
    found = over_letters([row["f1_probe"] for row in scores if row["sae"] == one and row["k"] == 1])
    if found is None or len(set(site_of.values())) > 1:
        return []
    return [
        alt.Chart(alt.Data(values=[{"at": found.value, "what": _PROBE}]))
        .mark_rule(strokeDash=[5, 3], strokeWidth=1.4)
        .encode(y="at:Q", tooltip=[alt.Tooltip("what:N", title="of"), alt.Tooltip("at:Q", format=".3f")])
    ]


def _ticks(ks: Sequence[int]) -> list[int]:
    return [k for k in ks if k in (1, 2, 3, 5, 10, 20, 50)]


def f1_map(scores: Sequence[Row]) -> Figure | None:
    """Letters by SAE, shaded by the F1 of one latent; the first rows are the probes on activations."""
    ones = [row for row in scores if row["k"] == 1]
    if not ones:
        return None
    several = len({row["site"] for row in ones}) > 1
    letters = sorted({row["letter"] for row in ones})
    probes = {(f"{_PROBE}{' of ' + row['site'] if several else ''}", row["letter"]): row["f1_probe"] for row in ones}
    cells = probes | {(row["sae"], row["letter"]): row["f1"] for row in ones}
    rows = list(dict.fromkeys(row for row, _ in cells))
    return heat_map(
        "f1_by_letter",
        [Cell(row, letter, cells.get((row, letter))) for row in rows for letter in letters],
        title="F1 with one latent, letter by letter",
        caption="F1 on test words of the best single latent of each letter (columns) in each SAE (rows), below that of the probe "
        "on activations. A dark cell: one latent is the letter.",
        scale=HeatScale(title="F1", low=0.0, high=1.0),
        axes=("letter", ""),
    )


def split_map(splits: Sequence[Row]) -> Figure | None:
    """Letters by SAE, shaded by how many latents share the letter; None where none is split."""
    if not any(row["num_split_features"] for row in splits):
        return None
    letters = sorted({row["letter"] for row in splits})
    cells = {(row["sae"], row["letter"]): row["num_split_features"] for row in splits}
    rows = list(dict.fromkeys(row["sae"] for row in splits))
    return heat_map(
        "splits_by_letter",
        [Cell(row, letter, cells.get((row, letter))) for row in rows for letter in letters],
        title="Letters that are split",
        caption="Latents beyond the first that each letter needs, because each raises F1 by more than the jump. 0: one latent "
        "carries all that few latents carry.",
        scale=HeatScale(title="latents beyond the first", low=0.0, decimals=0),
        axes=("letter", ""),
    )
