"""Smoothness of every subject on one pass, with the replicates that differences need; what was measured is kept for a resume."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from monoseme.core.config import to_dict
from monoseme.evaluation import EvalResult, EvalSubject, Metric, read_report, write_report
from monoseme.evaluation.smoothness import Smoothness
from monoseme.studies._base import Row
from monoseme.studies._intervals import Interval, difference, of_replicates
from monoseme.studies._kept_files import read_replicates, write_replicates
from monoseme.studies._workbench import Subject


class OverTime(NamedTuple):
    """What was found of one subject."""

    subject: Subject
    metrics: Mapping[str, Metric]
    replicates: Mapping[str, np.ndarray]
    """Metric -> its value under each weighting of the documents, the estimate first."""
    curve: list[Row]
    """Autocorrelation by lag."""
    latents: pa.Table
    n_tokens: int

    def interval(self, metric: str) -> Interval | None:
        """The metric with its 95 % interval over documents; None where it has no value."""
        return of_replicates(self.replicates[metric]) if self.has(metric) else None

    def gap(self, metric: str, other: "OverTime") -> Interval | None:
        """This subject's value less the other's, with the interval of paired replicates; None where one has none."""
        if not (self.has(metric) and other.has(metric)):
            return None
        return difference(self.replicates[metric], other.replicates[metric])

    def has(self, metric: str) -> bool:
        """Whether the metric has a value."""
        return metric in self.metrics and self.metrics[metric].value is not None


def measure(
    subjects: Sequence[Subject], evaluated: Sequence[EvalSubject], config: Smoothness.Config, work: Path
) -> list[OverTime]:
    """Every subject, those that `work` has not yet on one pass over the text together."""
    new = [each for each in evaluated if not (_report(work, each.name).is_dir() and _replicates(work, each.name).is_file())]
    for result in Smoothness(config).run_many(new):
        _keep(result, config, work)
    return [_read(subject, work) for subject in subjects]


def _report(work: Path, name: str) -> Path:
    return work / "smoothness" / name.replace("/", "_")


def _replicates(work: Path, name: str) -> Path:
    return work / "replicates" / f"{name.replace('/', '_')}.safetensors"


def _keep(result: EvalResult, config: Smoothness.Config, work: Path) -> None:
    """The report last: where it is, all is there."""
    doubled = {name: values.to(torch.float64) for name, values in result.replicates.items()}
    write_replicates(_replicates(work, result.subject), doubled)
    settings = {"evaluation": "smoothness", **to_dict(config)}
    write_report(result, _report(work, result.subject), config=settings, inputs={}, overwrite=True)


def _read(subject: Subject, work: Path) -> OverTime:
    result = read_report(_report(work, subject.name))
    replicates = {name: values.numpy() for name, values in read_replicates(_replicates(work, subject.name)).items()}
    part = "all" if subject.part is None else subject.part
    curve, latents = (result.tables[name] for name in ("autocorrelation", "latents"))
    return OverTime(
        subject=subject,
        metrics={metric.name: metric for metric in result.metrics},
        replicates=replicates,
        curve=[row for row in curve.to_pylist() if row["part"] == part],
        latents=latents.filter(pc.field("part") == part),
        n_tokens=result.facts["n_tokens"],
    )
