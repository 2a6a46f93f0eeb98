"""Evaluations: one file per evaluation, measuring SAEs on held-out text; see `_base.py` for the contract."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.core.registry import Registry
from monoseme.evaluation._metric import Better, Definition, Metric

if TYPE_CHECKING:
    from monoseme.evaluation._base import EvalResult, EvalSubject, Evaluation
    from monoseme.evaluation._bootstrap import DocumentWeights
    from monoseme.evaluation._chunks import Chunk, TokenChunk, chunks
    from monoseme.evaluation._report import metrics_from_json, metrics_to_json, read_report, write_report

EVALUATIONS: "Registry[Evaluation]" = Registry(
    kind="evaluations", package="monoseme.evaluation", base="monoseme.evaluation._base:Evaluation"
)
"""All evaluations that are installed."""

__all__ = [
    "EVALUATIONS",
    "Better",
    "Chunk",
    "Definition",
    "DocumentWeights",
    "EvalResult",
    "EvalSubject",
    "Evaluation",
    "Metric",
    "TokenChunk",
    "chunks",
    "metrics_from_json",
    "metrics_to_json",
    "read_report",
    "write_report",
]

# pyarrow on first use: `monoseme ls` imports this package.
__getattr__ = lazy_attributes(
    __name__,
    {
        "_base": ["EvalResult", "EvalSubject", "Evaluation"],
        "_bootstrap": ["DocumentWeights"],
        "_chunks": ["Chunk", "TokenChunk", "chunks"],
        "_report": ["metrics_from_json", "metrics_to_json", "read_report", "write_report"],
    },
)
