"""Evaluations: one file per evaluation, measuring SAEs on held-out text; see `_base.py` for the contract."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.core.registry import Registry
from monoseme.evaluation._metric import Better, Definition, Metric

if TYPE_CHECKING:
    from monoseme.evaluation._base import EvalResult, EvalSubject, Evaluation
    from monoseme.evaluation._bootstrap import DocumentWeights
    from monoseme.evaluation._chunks import Chunk, TokenChunk, chunks
    from monoseme.evaluation._correlation import (
        CodeColumns,
        CodeGatherer,
        columns_of,
        correlation_blocks,
        fired_together,
        paired_correlations,
    )
    from monoseme.evaluation._directions import directions_of, writes_of
    from monoseme.evaluation._latents import LatentCounts, density_table
    from monoseme.evaluation._matching import Matching, agreement, assign, match_codes, match_directions
    from monoseme.evaluation._mmcs import Spread, largest_cosines_as_mlsae, mmcs, spread
    from monoseme.evaluation._nearest import Nearest, largest_cosines
    from monoseme.evaluation._one_text import text_metrics
    from monoseme.evaluation._report import metrics_from_json, metrics_to_json, read_report, write_report

EVALUATIONS: "Registry[Evaluation]" = Registry(
    kind="evaluations", package="monoseme.evaluation", base="monoseme.evaluation._base:Evaluation"
)
"""All evaluations that are installed."""

__all__ = [
    "EVALUATIONS",
    "Better",
    "Chunk",
    "CodeColumns",
    "CodeGatherer",
    "Definition",
    "DocumentWeights",
    "EvalResult",
    "EvalSubject",
    "Evaluation",
    "LatentCounts",
    "Matching",
    "Metric",
    "Nearest",
    "Spread",
    "TokenChunk",
    "agreement",
    "assign",
    "chunks",
    "columns_of",
    "correlation_blocks",
    "density_table",
    "directions_of",
    "fired_together",
    "largest_cosines",
    "largest_cosines_as_mlsae",
    "match_codes",
    "match_directions",
    "metrics_from_json",
    "metrics_to_json",
    "mmcs",
    "paired_correlations",
    "read_report",
    "spread",
    "text_metrics",
    "write_report",
    "writes_of",
]

# pyarrow on first use: `monoseme ls` imports this package.
__getattr__ = lazy_attributes(
    __name__,
    {
        "_base": ["EvalResult", "EvalSubject", "Evaluation"],
        "_bootstrap": ["DocumentWeights"],
        "_chunks": ["Chunk", "TokenChunk", "chunks"],
        "_correlation": [
            "CodeColumns",
            "CodeGatherer",
            "columns_of",
            "correlation_blocks",
            "fired_together",
            "paired_correlations",
        ],
        "_directions": ["directions_of", "writes_of"],
        "_latents": ["LatentCounts", "density_table"],
        "_matching": ["Matching", "agreement", "assign", "match_codes", "match_directions"],
        "_mmcs": ["Spread", "largest_cosines_as_mlsae", "mmcs", "spread"],
        "_nearest": ["Nearest", "largest_cosines"],
        "_one_text": ["text_metrics"],
        "_report": ["metrics_from_json", "metrics_to_json", "read_report", "write_report"],
    },
)
