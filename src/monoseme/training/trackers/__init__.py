"""Metrics to TensorBoard, Weights & Biases or MLflow: one file each, each behind an extra."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monoseme.core.registry import Registry
from monoseme.training.trackers._base import Tracker

TRACKERS: Registry[Tracker] = Registry(
    kind="trackers", package="monoseme.training.trackers", base="monoseme.training.trackers._base:Tracker"
)


def open_tracker(name: str, *, folder: Path, facts: Mapping[str, Any]) -> Tracker:
    """The tracker of that name, begun. Raises UnknownPluginError with a suggestion, ExtraMissingError."""
    return TRACKERS.get(name)(folder=folder, facts=facts)


__all__ = ["TRACKERS", "Tracker", "open_tracker"]
