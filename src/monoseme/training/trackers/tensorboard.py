"""TensorBoard: event files in `training/tensorboard`; look with `tensorboard --logdir RUN`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monoseme.core.errors import ExtraMissingError
from monoseme.training.trackers._base import Tracker, scalars


class TensorBoard(Tracker):
    """Scalars and the configuration as event files."""

    def __init__(self, *, folder: Path, facts: Mapping[str, Any]) -> None:
        """Opens a new event file beside those of an earlier part of the run."""
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise ExtraMissingError("the tracker tensorboard", extra="tensorboard") from error
        self._writer = SummaryWriter(log_dir=str(folder / "tensorboard"))
        # Four spaces make it a code block in the text tab, so that nothing in it is taken as Markdown.
        lines = json.dumps(facts, indent=2, default=str).splitlines()
        self._writer.add_text("config", "\n".join(f"    {line}" for line in lines))

    def log(self, row: Mapping[str, Any]) -> None:
        """One scalar for each number, at the row's step."""
        for name, value in scalars(row):
            self._writer.add_scalar(name, value, global_step=row["step"])

    def close(self, *, failed: bool) -> None:
        """Flushes; the files are the same whether the run failed or not."""
        del failed
        self._writer.close()
