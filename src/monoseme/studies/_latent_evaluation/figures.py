"""Figures of the study of single latents: precision against recall, letter by letter, and measures against L0 and layer."""

from collections.abc import Sequence

from monoseme.reports.figures import Cell, Estimate, Figure, HeatScale, heat_map, interval_dots
from monoseme.studies._base import Row
from monoseme.studies._first_letter.figures import against_l0, reliability_figure

_TITLES = {"f1": "F1", "precision": "precision", "recall": "recall", "auc": "AUROC"}


def figures_of(saes: Sequence[Row], latents: Sequence[Row], reliability: Sequence[Row]) -> list[Figure]:
    """All that can be drawn: `saes` are summary rows, `latents` rows of the letters that count."""
    made = [
        measure_dots(saes),
        latent_map(latents),
        against_l0(
            "f1_l0",
            saes,
            "f1_sae",
            title="F1 of the nearest latent against L0",
            y_title="F1 of the nearest latent",
            caption="Mean over letters of the F1 of the firing of the latent whose direction is nearest to the letter's probe. "
            "Bars are 95 % intervals over letters.",
        ),
        reliability_figure(reliability),
    ]
    return [figure for figure in made if figure is not None]


def measure_dots(saes: Sequence[Row]) -> Figure | None:
    """Every SAE as a row, every measure as a panel, the probe's above; None where no letter counts."""
    rows = [row for row in saes if row["f1_sae"] is not None]
    if not rows:
        return None
    estimates = [
        Estimate(row["sae"], *(row[f"{measure}_sae{end}"] for end in ("", "_low", "_high")), panel=title)
        for measure, title in _TITLES.items()
        for row in rows
    ]
    return interval_dots(
        "nearest_latents",
        [*_probe_estimates(rows), *estimates],
        title="How well the latent nearest to the probe tells the letter",
        caption="Of each letter, the latent whose direction has the largest cosine with the probe's; the letter is said where it "
        "fires. Means over letters on test words, bars are 95 % intervals over letters. High precision and low recall: the "
        "latent is of the letter, but silent on many words of it.",
    )


def _probe_estimates(rows: Sequence[Row]) -> list[Estimate]:
    """Of each site, in the panels of the measures that probes have intervals of."""
    by_site = {row["site"]: row for row in rows}
    return [
        Estimate(
            f"probe on {site}" if len(by_site) > 1 else "probe on activations",
            *(row[f"{measure}_probe{end}"] for end in ("", "_low", "_high")),
            panel=_TITLES[measure],
        )
        for measure in ("f1", "auc")
        for site, row in by_site.items()
    ]


def latent_map(latents: Sequence[Row]) -> Figure | None:
    """Letters by SAE, shaded by the recall of the nearest latent; None without letters."""
    first = [row for row in latents if row["rank"] == 0]
    if not first:
        return None
    letters = sorted({row["letter"] for row in first})
    cells = {(row["sae"], row["letter"]): row for row in first}
    saes = list(dict.fromkeys(row["sae"] for row in first))
    return heat_map(
        "recall_by_letter",
        [_cell(sae, letter, cells.get((sae, letter))) for sae in saes for letter in letters],
        title="Recall of the nearest latent, letter by letter",
        caption="Share of the test words with the letter on which the latent nearest to its probe fires. Where a probe finds the "
        "letter and this is low, the latent has holes: another latent may have absorbed them.",
        scale=HeatScale(title="recall", low=0.0, high=1.0),
        axes=("letter", ""),
    )


def _cell(sae: str, letter: str, row: Row | None) -> Cell:
    if row is None:
        return Cell(sae, letter, None)
    said = "never fires" if row["precision"] is None else f"precision {row['precision']:.2f}"
    return Cell(sae, letter, row["recall"], f"latent {row['latent']}, {said}")
