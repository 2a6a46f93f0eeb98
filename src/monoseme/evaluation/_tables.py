"""Tables of metrics: for each of several domains, sites or parts."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from monoseme.evaluation._metric import Metric


def metric_table(of: str, metrics: Mapping[str, Iterable[Metric]]) -> pa.Table:
    """One row per group and metric, groups in the order of the mapping: the column `of`, then `metric`, `value`, `why_missing`,
    `standard_error`, `n`, `n_documents`.
    """
    rows = [(group, m) for group, found in metrics.items() for m in found]
    return pa.table(
        {
            of: pa.array([group for group, _ in rows], pa.string()),
            "metric": pa.array([m.name for _, m in rows], pa.string()),
            "value": pa.array([m.value for _, m in rows], pa.float64()),
            "why_missing": pa.array([m.why_missing for _, m in rows], pa.string()),
            "standard_error": pa.array([m.standard_error for _, m in rows], pa.float64()),
            "n": pa.array([m.n for _, m in rows], pa.int64()),
            "n_documents": pa.array([m.n_documents for _, m in rows], pa.int64()),
        }
    )
