"""Training: the loop, optimisers, schedules, checkpoints and the trackers that subscribe to metrics.

Settings import no torch, so that the command line can show them.
"""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.training.config import ObjectiveConfig, ResampleConfig, ScheduleConfig, SparsityConfig, TrainConfig

if TYPE_CHECKING:
    from monoseme.training.checkpoint import open_checkpoint
    from monoseme.training.learner import Best, Job
    from monoseme.training.loop import Callbacks, TrainResult, train, train_on
    from monoseme.training.metrics import read_metrics

__all__ = [
    "Best",
    "Callbacks",
    "Job",
    "ObjectiveConfig",
    "ResampleConfig",
    "ScheduleConfig",
    "SparsityConfig",
    "TrainConfig",
    "TrainResult",
    "open_checkpoint",
    "read_metrics",
    "train",
    "train_on",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "checkpoint": ["open_checkpoint"],
        "learner": ["Best", "Job"],
        "loop": ["Callbacks", "TrainResult", "train", "train_on"],
        "metrics": ["read_metrics"],
    },
)
