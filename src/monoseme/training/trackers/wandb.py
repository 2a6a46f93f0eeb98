"""Weights & Biases: a run named after the run's folder; project, entity and mode come from WANDB_* variables."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monoseme.core.errors import ExtraMissingError
from monoseme.training.trackers._base import Tracker, scalars


class WeightsAndBiases(Tracker):
    """Scalars and the configuration as one run, taken up again on resume."""

    def __init__(self, *, folder: Path, facts: Mapping[str, Any]) -> None:
        """Begins or takes up the run of this folder."""
        try:
            import wandb  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ExtraMissingError("the tracker wandb", extra="wandb") from error
        place = folder.resolve()
        self._run = wandb.init(
            dir=str(place),
            name=place.parent.name,
            # The same folder is the same run, so that a resume goes on in its charts.
            id=hashlib.blake2b(str(place).encode(), digest_size=8).hexdigest(),
            resume="allow",
            config=dict(facts),
        )
        # Rows of several SAEs share a step, and after a resume some come again: the step is a value, not W&B's own counter.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, row: Mapping[str, Any]) -> None:
        """One point in each chart, at the row's step."""
        self._run.log({"step": row["step"]} | dict(scalars(row)))

    def close(self, *, failed: bool) -> None:
        """Marks the run finished or failed and waits for the upload."""
        self._run.finish(exit_code=1 if failed else 0)
