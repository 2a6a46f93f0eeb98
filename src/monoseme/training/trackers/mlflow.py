"""MLflow: a run in the experiment "monoseme"; the server comes from MLFLOW_TRACKING_URI."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monoseme.core.errors import ExtraMissingError
from monoseme.training.trackers._base import Tracker, scalars

_LONGEST_PARAM = 500
"""Characters that every MLflow server takes as the value of a parameter."""


class MLflow(Tracker):
    """Numbers as metrics, the configuration as parameters."""

    def __init__(self, *, folder: Path, facts: Mapping[str, Any]) -> None:
        """Begins a run named after the run's folder; a resumed run is a new one of the same name."""
        try:
            import mlflow  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ExtraMissingError("the tracker mlflow", extra="mlflow") from error
        experiment = mlflow.set_experiment("monoseme")
        self._client = mlflow.MlflowClient()
        run = self._client.create_run(experiment.experiment_id, run_name=folder.resolve().parent.name)
        self._run_id = run.info.run_id
        for name, value in _flat(facts):
            self._client.log_param(self._run_id, name, value[:_LONGEST_PARAM])

    def log(self, row: Mapping[str, Any]) -> None:
        """One metric for each number, at the row's step."""
        for name, value in scalars(row):
            self._client.log_metric(self._run_id, name, value, step=row["step"])

    def close(self, *, failed: bool) -> None:
        """Marks the run finished or failed."""
        self._client.set_terminated(self._run_id, status="FAILED" if failed else "FINISHED")


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as `train.schedule.kind` and the like."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
