"""What `tpp` found, as rows, typed metrics, points of a figure and findings.

Letters: P classes, N numbers of latents, W weightings.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monoseme.evaluation import Definition, Metric
from monoseme.evaluation._latent_effects import Floats
from monoseme.studies._base import Finding, Row
from monoseme.studies._perturbation.figures import Point
from monoseme.studies._perturbation.rows import above_control, latent_rows, metric_of, probe_rows, with_interval
from monoseme.studies._tpp.measure import OfDataset, Perturbed

RANDOM_LATENTS = "random latents of the SAEs"
_PANELS = {"tpp": "TPP (accuracy)", "intended": "loss of the class itself", "unintended": "mean loss of the other classes"}


class Overall(NamedTuple):
    """One subject with n latents ablated, mean over data sets and classes; each [W]."""

    subject: str
    is_control: bool
    n: int
    site: str | None
    """Where the subject reads; None for latents of several."""
    tpp: Floats
    intended: Floats
    unintended: Floats
    as_saebench: Floats | None
    """None for random latents, which SAEBench does not ablate."""
    n_datasets: int

    @property
    def row(self) -> Row:
        """Of the table `tpp`."""
        row: Row = {"subject": self.subject, "is_control": self.is_control, "n_latents": self.n}
        row |= with_interval("tpp", self.tpp) | with_interval("intended", self.intended)
        row |= with_interval("unintended", self.unintended)
        saebench = None if self.as_saebench is None else float(self.as_saebench[0])
        return row | {"tpp_as_saebench": saebench, "n_datasets": self.n_datasets}


def overall(found: Sequence[OfDataset]) -> list[Overall]:
    """Every subject at every number of latents that it was measured with, then random latents of the SAEs."""
    each = [one for dataset in found for one in dataset.found]
    site_of = {one.subject: dataset.site for dataset in found for one in dataset.found}
    made = [
        _mean(name, [one for one in each if one.subject == name and n in one.counts], n, site_of[name])
        for name in dict.fromkeys(one.subject for one in each)
        for n in sorted({n for one in each if one.subject == name for n in one.counts})
    ]
    saes = [one for one in each if not one.is_control]
    counts = sorted({n for one in saes for n in one.counts})
    n_datasets = len({dataset.dataset for dataset in found})
    return made + [_random([one for one in saes if n in one.counts], n, n_datasets) for n in counts]


def _mean(name: str, each: Sequence[Perturbed], n: int, site: str) -> Overall:
    ours = [_at(one, n, one.by_rule["ours"].tpp) for one in each]
    intended = [_at(one, n, one.by_rule["ours"].intended) for one in each]
    unintended = [_at(one, n, one.by_rule["ours"].unintended) for one in each]
    theirs = [_at(one, n, one.by_rule["saebench"].tpp) for one in each]
    means = [np.mean(kind, axis=0) for kind in (ours, intended, unintended, theirs)]
    return Overall(name, each[0].is_control, n, site, *means, n_datasets=len(each))


def _random(each: Sequence[Perturbed], n: int, n_datasets: int) -> Overall:
    means = [
        np.mean([_at(one, n, kind(one)) for one in each], axis=0)
        for kind in (lambda o: o.random.tpp, lambda o: o.random.intended, lambda o: o.random.unintended)
    ]
    return Overall(RANDOM_LATENTS, True, n, None, *means, as_saebench=None, n_datasets=n_datasets)


def _at(one: Perturbed, n: int, values: Floats) -> Floats:
    """[W]: mean over classes of values [P, N, W]."""
    return values[:, one.counts.index(n)].mean(0)


def class_rows(found: Sequence[OfDataset]) -> list[Row]:
    """A row for each data set, subject, class and number of latents."""
    rows: list[Row] = []
    for dataset in found:
        for one in dataset.found:
            ours, theirs = one.by_rule["ours"], one.by_rule["saebench"]
            for c, name in enumerate(dataset.classes):
                for i, n in enumerate(one.counts):
                    row: Row = {"dataset": dataset.dataset, "subject": one.subject, "class": name, "n_latents": n}
                    row |= with_interval("tpp", ours.tpp[c, i])
                    row |= {"intended": float(ours.intended[c, i, 0]), "unintended": float(ours.unintended[c, i, 0])}
                    row |= {"tpp_as_saebench": float(theirs.tpp[c, i, 0])}
                    rows.append(row | {"n_ablated": min(n, len(one.ablated[c].latents))})
    return rows


def all_probe_rows(found: Sequence[OfDataset]) -> list[Row]:
    """A row for each probe, with the TPP of its direction taken out whole."""
    rows: list[Row] = []
    for dataset in found:
        rows_here = probe_rows(dataset.dataset, dataset.site, dataset.trial, dataset.clean)
        tpp = dataset.directions.tpp[:, 0, 0]
        rows += [row | {"tpp_of_direction": float(value)} for row, value in zip(rows_here, tpp, strict=True)]
    return rows


def all_latent_rows(found: Sequence[OfDataset]) -> list[Row]:
    """The strongest latents of every class."""
    return [
        row
        for dataset in found
        for one in dataset.found
        if not one.is_control
        for row in latent_rows(dataset.dataset, one.subject, dataset.classes, one.ablated)
    ]


def metrics_of(made: Sequence[Overall], found: Sequence[OfDataset]) -> dict[str, list[Metric]]:
    """Of each SAE and control: TPP at each number of latents."""
    n = sum(len(dataset.trial.test) for dataset in found)
    n_units = sum(dataset.trial.n_units for dataset in found)
    return {
        name: [
            metric_of(_definition(one.n), one.tpp, n=n, n_units=n_units, why_missing="no text of a class is on the test side")
            for one in made
            if one.subject == name
        ]
        for name in dict.fromkeys(one.subject for one in made)
    }


def _definition(n: int) -> Definition:
    return Definition(
        name=f"tpp_{n}",
        definition=f"Accuracy that a class's probe loses when its {n} strongest latents are ablated, less the mean loss of the "
        "other classes' probes; mean over classes and data sets.",
        unit="accuracy",
        better="higher",
    )


def points_of(made: Sequence[Overall]) -> list[Point]:
    """Of the figure: TPP and its two parts."""
    points: list[Point] = []
    for name, panel in _PANELS.items():
        for one in made:
            row = one.row
            points.append(Point(one.subject, one.n, panel, row[name], row[f"{name}_low"], row[f"{name}_high"]))
    return points


def saebench_metrics(found: Sequence[OfDataset]) -> dict[str, dict[str, float | None]]:
    """Subject -> metric -> value by SAEBench's rule, under its names; mean over data sets."""
    each = [one for dataset in found for one in dataset.found]
    metrics: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(one.subject for one in each):
        mine = [one for one in each if one.subject == name]
        metrics[name] = {}
        for n in mine[0].counts:
            theirs = [one.by_rule["saebench"] for one in mine]
            for metric, kinds in (
                ("total_metric", [t.tpp for t in theirs]),
                ("intended_diff_only", [t.intended for t in theirs]),
                ("unintended_diff_only", [t.unintended for t in theirs]),
            ):
                values = [_at(one, n, kind)[0] for one, kind in zip(mine, kinds, strict=True)]
                metrics[name][f"tpp_threshold_{n}_{metric}"] = float(np.mean(values))
    return metrics


def finding_of(made: Sequence[Overall]) -> Finding:
    """Whether latents of trained SAEs tell classes apart better than random directions do."""
    control = {(one.site, one.n): one for one in made if one.is_control and one.subject != RANDOM_LATENTS}
    comparisons = [
        above_control(f"{one.subject}, {one.n} latents", one.tpp, control[one.site, one.n].tpp)
        for one in made
        if not one.is_control and (one.site, one.n) in control
    ]
    claim = (
        "Ablating a few latents of a trained SAE takes one class away and leaves the others, more than random directions do "
        "(SAEBench, arXiv:2503.09532). Held: the whole 95 % interval of the difference is above 0."
    )
    return Finding(claim, tuple(comparisons), "" if comparisons else "No SAE has a control at its site.")
