"""What `ravel` found, as rows, typed metrics, a figure and SAEBench's JSON.

Letters: W weightings of the entities.
"""

from collections.abc import Sequence

import numpy as np

from monoseme.evaluation import Metric
from monoseme.evaluation._latent_effects import Floats
from monoseme.evaluation._metric import Definition
from monoseme.evaluation.formats import SaeBenchResult
from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._base import Row
from monoseme.studies._perturbation.rows import metric_of, with_interval
from monoseme.studies._ravel.measure import NOTHING, Scored
from monoseme.studies._ravel.questions import Known, Question
from monoseme.studies._saebench_files import RELEASE, saebench_file

_SCORES = ("disentanglement", "cause", "isolation")


def rows_of_scores(found: Sequence[Scored]) -> list[Row]:
    """A row for each attribute and subject."""
    rows: list[Row] = []
    for each in found:
        row: Row = {"attribute": each.attribute, "subject": each.subject, "is_control": each.is_control}
        row |= with_interval("disentanglement", each.disentanglement)
        row |= with_interval("cause", each.cause) | with_interval("isolation", each.isolation)
        theirs = each.as_saebench
        row |= {"cause_as_saebench": theirs and theirs[0], "isolation_as_saebench": theirs and theirs[1]}
        row |= {"disentanglement_as_saebench": theirs and sum(theirs) / 2, "n_carried": each.n_carried}
        rows.append(row | {"n_cause": each.n_swaps[0], "n_isolation": each.n_swaps[1]})
    return rows


def known_rows(asked: Sequence[Question], known: Sequence[Known]) -> list[Row]:
    """Of each attribute: questions asked, and those that the model answers rightly."""
    return [
        {
            "attribute": name,
            "n_asked": sum(each.attribute == name for each in asked),
            "n_known": sum(each.question.attribute == name for each in known),
        }
        for name in sorted({each.attribute for each in asked})
    ]


def _mean(found: Sequence[Scored], subject: str, score: str) -> Floats:
    """[W]: over attributes."""
    return np.mean([getattr(each, score) for each in found if each.subject == subject], axis=0)


def metrics_of(found: Sequence[Scored]) -> dict[str, list[Metric]]:
    """Of each subject, mean over attributes."""
    subjects = dict.fromkeys(each.subject for each in found)
    n = sum(sum(each.n_swaps) for each in found if each.subject == NOTHING)
    return {
        subject: [
            metric_of(definition, _mean(found, subject, name), n=n, n_units=n, why_missing="no swap was tested")
            for name, definition in _DEFINITIONS.items()
        ]
        for subject in subjects
    }


_DEFINITIONS = {
    name: Definition(name=name, definition=text, unit="fraction", better="higher")
    for name, text in (
        ("disentanglement", "(cause + isolation) / 2, mean over attributes."),
        ("cause", "Share of the swaps after which a prompt about the attribute has the source's answer."),
        ("isolation", "Share of the swaps after which a prompt about another attribute still has the base's answer."),
    )
}


def figure_of(found: Sequence[Scored]) -> Figure:
    """A panel for each score, a row for each subject."""
    estimates: list[Estimate] = []
    for score in _SCORES:
        for subject in dict.fromkeys(each.subject for each in found):
            row = with_interval(score, _mean(found, subject, score))
            estimates.append(Estimate(subject, row[score], row[f"{score}_low"], row[f"{score}_high"], score))
    return interval_dots(
        "ravel",
        estimates,
        title="Attributes carried over, and others kept",
        caption="Mean over attributes. Cause: the source's answer comes. Isolation: other answers stay. Carrying nothing over "
        "has a perfect isolation and no cause, so that disentanglement begins at 0.5. Bars are 95 % intervals over entities.",
        columns=3,
    )


def saebench_files(found: Sequence[Scored]) -> dict[str, bytes]:
    """By its own rule, a file for each SAE."""
    made: dict[str, bytes] = {}
    for subject in dict.fromkeys(each.subject for each in found if each.as_saebench is not None):
        cause, isolation = np.mean([e.as_saebench for e in found if e.subject == subject and e.as_saebench is not None], axis=0)
        scores = {"disentanglement_score": (cause + isolation) / 2, "cause_score": cause, "isolation_score": isolation}
        plain = {name: float(value) for name, value in scores.items()}
        result = SaeBenchResult(eval_type="ravel", metrics={"ravel": plain}, release=RELEASE, sae_id=subject)
        made |= saebench_file(result)
    return made
