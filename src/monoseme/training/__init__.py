"""Training: the loop, optimisers, schedules, checkpoints and the trackers that subscribe to metrics.

Settings import no torch, so that the command line can show them.
"""

import importlib
from typing import TYPE_CHECKING, Any

from monoseme.training.config import ScheduleConfig, TrainConfig

if TYPE_CHECKING:
    from monoseme.training.checkpoint import open_checkpoint
    from monoseme.training.learner import Best, Job
    from monoseme.training.loop import Callbacks, TrainResult, train, train_on
    from monoseme.training.metrics import read_metrics

__all__ = [
    "Best",
    "Callbacks",
    "Job",
    "ScheduleConfig",
    "TrainConfig",
    "TrainResult",
    "open_checkpoint",
    "read_metrics",
    "train",
    "train_on",
]

_LAZY = {
    "Best": "learner",
    "Callbacks": "loop",
    "Job": "learner",
    "TrainResult": "loop",
    "open_checkpoint": "checkpoint",
    "read_metrics": "metrics",
    "train": "loop",
    "train_on": "loop",
}


def __getattr__(name: str) -> Any:
    """Imports what needs torch when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
