"""What `predicted_share` measured of each SAE, kept between runs, with intervals from its replicates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.files import read_json, write_json
from monoseme.evaluation import EvalSubject, Metric, metrics_from_json, metrics_to_json
from monoseme.evaluation.predicted_share import PredictedShare
from monoseme.studies._base import Row
from monoseme.studies._intervals import Interval, difference, of_replicates


class Share(NamedTuple):
    """One SAE."""

    sae: str
    metrics: tuple[Metric, ...]
    replicates: Mapping[str, NDArray[np.float64]]
    """Metric -> [1 + R], the estimate first; paired between SAEs. Empty for metrics that are missing."""

    @property
    def has_parts(self) -> bool:
        """Whether it has predicted and novel codes."""
        return "fvu_predicted" in self.replicates

    def interval(self, metric: str) -> Interval | None:
        """Of one metric; None where it is missing."""
        found = self.replicates.get(metric)
        return None if found is None or not np.isfinite(found[0]) else of_replicates(found)

    def gap(self, a: str, b: str) -> Interval | None:
        """Metric a less metric b, paired; None where one of them is missing."""
        if self.interval(a) is None or self.interval(b) is None:
            return None
        return difference(self.replicates[a], self.replicates[b])


def measure_shares(subjects: Sequence[EvalSubject], config: PredictedShare.Config, folder: Path) -> list[Share]:
    """The evaluation of all SAEs on one pass, or what an earlier call left in `folder`."""
    files = {subject.name: folder / f"{subject.name}.json" for subject in subjects}
    if not all(file.is_file() for file in files.values()):
        for result in PredictedShare(config).run_many(subjects):
            drawn = {name: _plain(values.cpu().numpy()) for name, values in result.replicates.items()}
            write_json(files[result.subject], {"metrics": metrics_to_json(result.metrics), "replicates": drawn})
    return [_read(name, file) for name, file in files.items()]


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    """JSON has no NaN."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _read(name: str, file: Path) -> Share:
    found = read_json(file)
    drawn = {metric: np.array(values, dtype=np.float64) for metric, values in found["replicates"].items()}  # None becomes NaN
    return Share(name, metrics_from_json(found["metrics"]), drawn)


def share_rows(shares: Sequence[Share]) -> list[Row]:
    """A row per SAE and metric that has a value."""
    rows: list[Row] = []
    for share in shares:
        for metric in share.metrics:
            interval = share.interval(metric.name)
            if interval is not None:
                rows.append(
                    {"sae": share.sae, "metric": metric.name, "value": interval.value, "low": interval.low, "high": interval.high}
                    | {"unit": metric.unit, "n": metric.n, "n_documents": metric.n_documents}
                )
    return rows
