"""How well each probe does, and how sure that is: scores under every drawing of test sources and of seeds.

A replicate weighs the sources (in the context task the documents) by how often it draws them, the same for all rivals and seeds,
and draws the seeds; so two rivals are compared on the same drawings. Letters: W weightings, the first of which is the estimate.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monoseme.evaluation import DocumentWeights, Metric
from monoseme.evaluation._metric import Definition, measured
from monoseme.evaluation._probes import SCORES, Floats, over_seeds, scores
from monoseme.studies._base import Row
from monoseme.studies._intervals import Interval, around, of_replicates
from monoseme.studies._probing.measure import Prediction, Probed

_MEANINGS = {
    "accuracy": "share of test tokens whose class the probe tells",
    "balanced_accuracy": "mean over classes of the share of its test tokens that the probe tells",
    "macro_f1": "mean over classes of the F1 of the probe's answers",
}


class Scored(NamedTuple):
    """One rival with one number of features, over all seeds."""

    task: str
    rival: str
    is_sae: bool
    per_class: int | None
    replicates: dict[str, Floats]
    """Score -> [W]."""
    per_seed: dict[str, list[float]]
    """Score -> the estimate of each seed."""
    n_features: float
    """Mean over seeds."""
    converged: bool
    n_test: int
    """Test examples of all seeds."""
    n_units: int
    """Sources, or documents, that these are from."""

    @property
    def row(self) -> Row:
        """Of the table of scores."""
        row: Row = {"task": self.task, "subject": self.rival, "is_sae": self.is_sae, "per_class": self.per_class}
        for name in SCORES:
            found = _interval(name, self.replicates[name])
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        spread = float(np.std(self.per_seed["accuracy"], ddof=1)) if len(self.per_seed["accuracy"]) > 1 else None
        return row | {
            "accuracy_sd_of_seeds": spread,
            "n_features": self.n_features,
            "n_test": self.n_test,
            "converged": self.converged,
        }

    @property
    def metrics(self) -> list[Metric]:
        """Of the report."""
        return [_metric(self, name) for name in SCORES]


def score(found: Probed, *, n_replicates: int, seed: int) -> list[Scored]:
    """Every rival of a task with every number of features, in the order of the probes."""
    truth, units = np.array(found.labels), np.array(found.units)
    names, unit_of = np.unique(units, return_inverse=True)
    draws = DocumentWeights(n_replicates=n_replicates, seed=seed).of([int(unit) for unit in names]).numpy()
    grouped: dict[tuple[str, int | None], list[Prediction]] = {}
    for prediction in found.predictions:
        grouped.setdefault((prediction.rival, prediction.per_class), []).append(prediction)
    tested = np.unique(np.concatenate([np.array(test, dtype=np.int64) for test in found.tests.values()]))
    made: list[Scored] = []
    for (rival, per_class), predictions in grouped.items():
        each: list[dict[str, Floats]] = []
        for prediction in predictions:
            test = np.array(found.tests[str(prediction.seed)])
            each.append(scores(truth[test], np.array(prediction.predicted), draws[unit_of[test]], len(found.classes)))
        made.append(
            Scored(
                task=found.task,
                rival=rival,
                is_sae=predictions[0].is_sae,
                per_class=per_class,
                replicates={name: over_seeds([one[name] for one in each], seed=seed) for name in SCORES},
                per_seed={name: [float(one[name][0]) for one in each] for name in SCORES},
                n_features=float(np.mean([prediction.n_features for prediction in predictions])),
                converged=all(prediction.converged for prediction in predictions),
                n_test=sum(len(test) for test in found.tests.values()),
                n_units=len(np.unique(units[tested])),
            )
        )
    return made


def headline(scored: Sequence[Scored], per_class: int) -> list[Scored]:
    """Each rival once: with the papers' number of features, or with all where none are selected."""
    return [each for each in scored if each.per_class in (None, per_class)]


def compared(a: Scored, b: Scored, name: str = "accuracy") -> Row:
    """a - b on the same drawings of sources and seeds."""
    found = _interval(name, a.replicates[name] - b.replicates[name])
    return {
        "task": a.task,
        "score": name,
        "subject": a.rival,
        "against": b.rival,
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "excludes_zero": found.excludes_zero,
    }


def confusion(found: Probed, rival: str, per_class: int | None) -> list[Row]:
    """Share of the test examples of each class that are told to be of each class, over all seeds."""
    counts = np.zeros((len(found.classes), len(found.classes)))
    for prediction in found.predictions:
        if (prediction.rival, prediction.per_class) == (rival, per_class):
            truth = np.array(found.labels)[found.tests[str(prediction.seed)]]
            np.add.at(counts, (truth, np.array(prediction.predicted)), 1)
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    return [
        {"task": found.task, "subject": rival, "class": a, "told": b, "share": float(shares[i, j]), "n": int(counts[i, j])}
        for i, a in enumerate(found.classes)
        for j, b in enumerate(found.classes)
        if totals[i]
    ]


def _interval(name: str, replicates: Floats) -> Interval:
    """Macro F1 rises where few classes are drawn, as in the context task where each document is one: it has no percentiles."""
    return around(replicates) if name == "macro_f1" else of_replicates(replicates)


def _metric(scored: Scored, name: str) -> Metric:
    definition = Definition(
        name=f"{scored.task}_{name}",
        definition=f"{scored.task}: {_MEANINGS[name]}, mean over {len(scored.per_seed[name])} seeds.",
        unit="fraction",
        better="higher",
    )
    values = scored.replicates[name]
    spread = float(np.nanstd(values[1:], ddof=1)) if np.isfinite(values[1:]).sum() > 1 and scored.n_units > 1 else None
    return measured(
        definition,
        float(values[0]),
        n=scored.n_test,
        n_documents=scored.n_units,
        standard_error=spread,
        why_missing="no test example counts",
    )
