"""`Metric`: a number with everything needed to read it, or the reason why there is none."""

import math
from dataclasses import dataclass
from typing import Literal

from monoseme.core.errors import UndefinedMetricError
from monoseme.core.intervals import Z_95

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a metric's name means, whatever its value."""

    name: str
    definition: str
    """One or two sentences with the formula."""
    unit: str
    """`fraction` is in [0, 1] at its best; `nats` are per token; `activation` is the unit of the site."""
    better: Better
    """Which direction is an improvement."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measured number. A number that does not exist is `None` with its reason, never 0 or -1."""

    name: str
    value: float | None
    why_missing: str | None = None
    """Why there is no value; None exactly when there is one."""
    unit: str
    better: Better
    n: int
    """Tokens (or next-token predictions) that the value averages over."""
    n_documents: int
    """Documents they come from; what the bootstrap resamples."""
    standard_error: float | None = None
    """Standard deviation over a bootstrap of documents; None where fewer than two documents make it undefined."""
    definition: str

    def __post_init__(self) -> None:
        if (self.value is None) == (self.why_missing is None):
            raise UndefinedMetricError(f"the metric {self.name} needs either a value or the reason why it is missing")
        for number in (self.value, self.standard_error):
            if number is not None and not math.isfinite(number):
                raise UndefinedMetricError(f"the metric {self.name} is {number}: a missing number needs its reason instead")

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name}: missing ({self.why_missing})"
        spread = "" if self.standard_error is None else f" ± {Z_95 * self.standard_error:.2g}"
        says = "" if self.standard_error is None else " (± is 1.96 standard errors)"
        return f"{self.name}: {self.value:.4g}{spread} {self.unit}{says}"


def measured(
    definition: Definition,
    value: float,
    *,
    n: int,
    n_documents: int,
    standard_error: float | None,
    why_missing: str,
) -> Metric:
    """The metric of that definition; a `value` that is not finite becomes missing for the reason given.

    A standard error of NaN becomes None.
    """
    exists = math.isfinite(value)
    known = exists and standard_error is not None and math.isfinite(standard_error)
    return Metric(
        name=definition.name,
        value=value if exists else None,
        why_missing=None if exists else why_missing,
        unit=definition.unit,
        better=definition.better,
        n=n,
        n_documents=n_documents,
        standard_error=standard_error if known else None,
        definition=definition.definition,
    )
