"""A metric as a formula over sums: what it means, how it is computed, what it counts, why it may be missing."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from monoseme.evaluation._bootstrap import WeightedSums, estimate
from monoseme.evaluation._metric import Better, Definition, Metric, measured
from monoseme.tensors.shapes import Float, Tensor


class Formula(NamedTuple):
    """One metric over `WeightedSums`; letters: W weightings."""

    definition: Definition
    compute: Callable[[WeightedSums], Tensor]
    """Sums -> [W] float64, NaN where the number does not exist."""
    counted: str
    """The sum that is the metric's n."""
    why_missing: str
    """Why the number does not exist where `compute` gives NaN."""


def formula(
    name: str,
    text: str,
    compute: Callable[[WeightedSums], Tensor],
    *,
    unit: str,
    better: Better,
    counted: str = "n",
    why_missing: str = "no token was measured",
) -> Formula:
    """A row of a table of metrics."""
    return Formula(Definition(name=name, definition=text, unit=unit, better=better), compute, counted, why_missing)


def evaluate(formulas: Sequence[Formula], sums: WeightedSums, *, n_documents: int) -> list[Metric]:
    """The metrics of these formulas."""
    return [_one(f, sums, n_documents) for f in formulas]


def replicates(formulas: Sequence[Formula], sums: WeightedSums) -> dict[str, Float[Tensor, " W"]]:
    """Each formula under every weighting; NaN where the number does not exist."""
    return {f.definition.name: f.compute(sums) for f in formulas}


def _one(f: Formula, sums: WeightedSums, n_documents: int) -> Metric:
    found = estimate(f.compute(sums), n_documents=n_documents)
    return measured(
        f.definition,
        found.value,
        n=round(float(sums[f.counted][0])),
        n_documents=n_documents,
        standard_error=found.standard_error,
        why_missing=f.why_missing,
    )


def missing(formulas: Sequence[Formula], why: str) -> list[Metric]:
    """The metrics of these formulas, all without a value for the same reason."""
    nan = float("nan")
    return [measured(f.definition, nan, n=0, n_documents=0, standard_error=None, why_missing=why) for f in formulas]
