"""Measured numbers as the API gives them."""

from monoseme.evaluation import Metric
from monoseme.web.values import MetricValue


def metric(found: Metric) -> MetricValue:
    """A metric of an evaluation or of a study."""
    return MetricValue(
        name=found.name,
        value=found.value,
        standard_error=found.standard_error,
        why_missing=found.why_missing,
        unit=found.unit,
        better=found.better,
        n=found.n,
        definition=found.definition,
    )
