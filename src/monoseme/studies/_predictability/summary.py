"""Event measures over many texts: means with intervals from resampled texts, paired between codes, and as typed metrics.

Letters: N texts, W weightings (1 + replicates).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.evaluation import Better, Definition, DocumentWeights, Metric
from monoseme.evaluation._metric import measured
from monoseme.studies._base import Row
from monoseme.studies._intervals import Interval, difference, of_replicates
from monoseme.studies._predictability.events import EventMeasures
from monoseme.studies._predictability.garden import Effect

DEFINITIONS: Mapping[str, tuple[str, str, Better]] = {
    "within": ("Mean cosine of the centred codes of two tokens of one event.", "cosine", "neither"),
    "across": ("Mean cosine of the centred codes of two tokens of different events.", "cosine", "neither"),
    "event_gap": (
        "within − across of tokens equally far apart, mean over distances, less the same with moved boundaries.",
        "cosine",
        "higher",
    ),
    "sharpness": ("Novelty at event boundaries less that at all other gaps beyond the tolerance.", "cosine", "higher"),
    "sharpness_ends": ("Novelty at event boundaries less that at sentence ends inside events.", "cosine", "higher"),
    "auroc": ("Chance that an event boundary has more novelty than another gap; 0.5 is chance.", "probability", "higher"),
    "auroc_ends": (
        "Chance that an event boundary has more novelty than a sentence end inside an event; 0.5 is chance.",
        "probability",
        "higher",
    ),
    "f1": ("F1 of as many detected boundaries as there are, within the tolerance.", "fraction", "higher"),
    "f1_chance": ("f1 with the scores in random order.", "fraction", "neither"),
}
"""Measure -> definition, unit, which direction is better."""


class Mean(NamedTuple):
    """A measure of one code over all texts."""

    subject: str
    measure: str
    interval: Interval
    replicates: NDArray[np.float64]
    """[W], the estimate first; paired between codes."""
    n_texts: int
    """With a value."""


def means(measures: Mapping[str, Sequence[EventMeasures]], *, n_replicates: int, seed: int) -> dict[tuple[str, str], Mean]:
    """(subject, measure) -> mean over the texts that have the number; the same texts in the same order for each subject."""
    n_texts = max((len(each) for each in measures.values()), default=0)
    weights = DocumentWeights(n_replicates=n_replicates, seed=seed).of(list(range(n_texts))).numpy()
    made: dict[tuple[str, str], Mean] = {}
    for subject, each in measures.items():
        for measure in EventMeasures._fields:
            values = np.array([getattr(of_text, measure) for of_text in each], dtype=np.float64)
            drawn = weighted_mean(values, weights)
            made[subject, measure] = Mean(subject, measure, of_replicates(drawn), drawn, int(np.isfinite(values).sum()))
    return made


def weighted_mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means [W] of values [N] under weights [N, W]; values that are NaN are left out, and no weight at all gives NaN."""
    there = np.isfinite(values)
    total = weights[there].sum(0)
    return np.divide(values[there] @ weights[there], total, out=np.full(weights.shape[1], np.nan), where=total > 0)


def mean_rows(found: Mapping[tuple[str, str], Mean], *, against: str | None) -> list[Row]:
    """A row per code and measure, with the paired difference of `against` less it."""
    return [_row(mean, found.get((against, mean.measure)) if against else None) for mean in found.values()]


def _row(mean: Mean, against: Mean | None) -> Row:
    row: Row = {"code": mean.subject, "measure": mean.measure} | _ends("", mean.interval) | {"n_texts": mean.n_texts}
    if against is not None and against.subject != mean.subject:
        row |= {"against": against.subject} | _ends("difference_", difference(against.replicates, mean.replicates))
    return row


def _ends(prefix: str, interval: Interval) -> Row:
    value = interval.value if np.isfinite(interval.value) else None
    return {f"{prefix}value": value, f"{prefix}low": interval.low, f"{prefix}high": interval.high}


def event_metrics(subject: str, found: Mapping[tuple[str, str], Mean]) -> list[Metric]:
    """The measures of one code as typed metrics; n is texts."""
    made: list[Metric] = []
    for measure, (text, unit, better) in DEFINITIONS.items():
        mean = found[subject, measure]
        spread = mean.replicates[1:][np.isfinite(mean.replicates[1:])]
        made.append(
            measured(
                Definition(name=f"events_{measure}", definition=text, unit=unit, better=better),
                float(mean.replicates[0]),
                n=mean.n_texts,
                n_documents=mean.n_texts,
                standard_error=float(spread.std(ddof=1)) if len(spread) > 1 and mean.n_texts > 1 else None,
                why_missing="no text has both kinds of gaps at a window's distance from its ends",
            )
        )
    return made


def effect_rows(found: Sequence[Effect]) -> list[Row]:
    """A row per effect."""
    return [
        {"sae": effect.sae or "model", "where": effect.where, "measure": effect.measure, "kind": effect.kind}
        | _ends("difference_", effect.difference)
        | {
            "garden_path": effect.garden_path,
            "control": effect.control,
            "share_higher": effect.share_higher,
            "n_pairs": effect.n_pairs,
        }
        for effect in found
    ]


def effect_metrics(found: Sequence[Effect], definitions: Mapping[str, str]) -> list[Metric]:
    """The effects of all pairs at the marked word as typed metrics; n is pairs."""
    made: list[Metric] = []
    for effect in found:
        if effect.kind == "all" and effect.where == "word":
            made.append(
                measured(
                    Definition(
                        name=f"garden_path_{effect.measure}",
                        definition=f"Garden path less control at the word that ends the path: {definitions[effect.measure]}",
                        unit="nats" if effect.measure == "surprisal" else "fraction",
                        better="neither",
                    ),
                    effect.difference.value,
                    n=effect.n_pairs,
                    n_documents=effect.n_pairs,
                    standard_error=effect.standard_error,
                    why_missing="no pair has the number",
                )
            )
    return made
