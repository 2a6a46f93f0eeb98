"""The page's table of scores of explanations, each beside what it is held against."""

from typing import NamedTuple

from monoseme.atlas.score_summary import CONTROLS, MeanScore, ScoreSummary
from monoseme.reports._data import LatentSample, RunReport, SaeReport
from monoseme.reports._summary import Cell


class ExplainedRow(NamedTuple):
    """One number of one part of explanations."""

    sae: str
    explanations: str
    scorer: str
    name: str
    definition: str
    n_latents: str
    latents_tip: str
    cells: tuple[Cell, ...]
    """The score, then one for each of CONTROLS."""


def explained_rows(report: RunReport) -> list[ExplainedRow]:
    """All numbers of all SAEs, in their order."""
    return [_row(sae.name, summary) for sae in report.saes for summary in sae.scores]


def controls_of(sample: LatentSample) -> list[tuple[str, float]]:
    """What a latent's score is held against, in words, with its value; without those that are missing."""
    told = {score.name.rsplit("_", 1)[-1]: score.value for score in sample.controls}
    return [(words, value) for control, words in CONTROLS.items() if (value := told.get(control)) is not None]


def chosen_by(sae: SaeReport) -> str:
    """How the latents that a report shows of an SAE were chosen, in words."""
    scores = [sample.score for sample in sae.samples if sample.score is not None]
    if any(score.low is not None or score.standard_error is not None for score in scores):
        return "Those explained best, by the lower end of the score's 95 % interval, so better than most."
    if scores:
        return "Those whose explanations score highest, so better than most."
    return "Those with the largest activations: none has a score of an explanation."


def _row(sae: str, summary: ScoreSummary) -> ExplainedRow:
    n = 0 if summary.own is None else summary.own.n_latents
    tip = f"{n:,} latents have it, {summary.n_missing:,} do not: the atlas says why of each"
    controls = (_cell(summary.controls.get(control)) for control in CONTROLS)
    name, cells = summary.name.replace("_", " "), (_cell(summary.own), *controls)
    return ExplainedRow(sae, summary.explanations, summary.scorer, name, summary.definition, f"{n:,}", tip, cells)


def _cell(mean: MeanScore | None) -> Cell:
    if mean is None:
        return Cell("\u2013", "", "there is none")
    spread = "" if mean.high is None else f"\u00b1 {mean.high - mean.mean:.2g}"
    return Cell(f"{mean.mean:.3f}", spread, f"{mean.mean:.6g} over {mean.n_latents:,} latents")
