"""Evaluations: one file per evaluation, measuring SAEs on held-out text; see `_base.py` for the contract."""

import importlib
from typing import TYPE_CHECKING, Any

from monoseme.core.registry import Registry
from monoseme.evaluation._metric import Better, Definition, Metric

if TYPE_CHECKING:
    from monoseme.evaluation._base import EvalResult, EvalSubject, Evaluation
    from monoseme.evaluation._report import metrics_from_json, metrics_to_json, read_report, write_report

evaluations: "Registry[Evaluation]" = Registry(
    kind="evaluations", package="monoseme.evaluation", base="monoseme.evaluation._base:Evaluation"
)
"""All evaluations that are installed."""

_HOMES = {
    "EvalResult": "_base",
    "EvalSubject": "_base",
    "Evaluation": "_base",
    "metrics_from_json": "_report",
    "metrics_to_json": "_report",
    "read_report": "_report",
    "write_report": "_report",
}

__all__ = [
    "Better",
    "Definition",
    "EvalResult",
    "EvalSubject",
    "Evaluation",
    "Metric",
    "evaluations",
    "metrics_from_json",
    "metrics_to_json",
    "read_report",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Loads what needs pyarrow on first use: `monoseme ls` imports this package."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
