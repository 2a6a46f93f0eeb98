"""The metrics of two SAEs side by side, with the interval of each difference."""

import math
from collections.abc import Sequence
from typing import Literal

from monoseme.core.intervals import Z_95
from monoseme.web.overview.answers import SaeSummary
from monoseme.web.overview.compare_answers import MetricPair, SaeComparison, Side
from monoseme.web.values import MetricValue


def comparison(a: SaeSummary, b: SaeSummary, *, runs: tuple[str, str]) -> SaeComparison:
    """Every metric that either has, in the order of the first."""
    ours, theirs = ({metric.name: metric for metric in sae.metrics} for sae in (a, b))
    names = dict.fromkeys([*ours, *theirs])
    sides = [_side(sae, run) for sae, run in zip((a, b), runs, strict=True)]
    return SaeComparison(a=sides[0], b=sides[1], metrics=[_pair(ours.get(name), theirs.get(name)) for name in names])


def _side(sae: SaeSummary, run: str) -> Side:
    return Side(
        run=run,
        sae=sae.name,
        architecture=sae.architecture,
        n_latents=sae.n_latents,
        site=sae.site,
        has_atlas=sae.has_atlas,
        measured_as=sae.measured_as,
    )


def _pair(a: MetricValue | None, b: MetricValue | None) -> MetricPair:
    known = a if a is not None else b
    assert known is not None
    difference, half = _difference(a, b)
    low, high = (None, None) if difference is None or half is None else (difference - half, difference + half)
    return MetricPair(
        name=known.name,
        definition=known.definition,
        unit=known.unit,
        better=known.better,
        a=a,
        b=b,
        difference=difference,
        low=low,
        high=high,
        favours=_favours(known.better, low, high),
        warning=_warning([metric for metric in (a, b) if metric is not None]),
    )


def _difference(a: MetricValue | None, b: MetricValue | None) -> tuple[float | None, float | None]:
    """b less a, and half of its 95 % interval.

    The errors count as independent. On the same documents they mostly go together, so that the interval is rather too wide.
    What is the same to the last digit, error included, is one measurement (the model without an SAE, say): there is no interval.
    """
    if a is None or b is None or a.value is None or b.value is None:
        return None, None
    if a.standard_error is None or b.standard_error is None or a == b:
        return b.value - a.value, None
    return b.value - a.value, Z_95 * math.hypot(a.standard_error, b.standard_error)


def _favours(better: str, low: float | None, high: float | None) -> Literal["a", "b", "neither"]:
    if better == "neither" or low is None or high is None or low <= 0 <= high:
        return "neither"
    return "b" if (low > 0) == (better == "higher") else "a"


def _warning(both: Sequence[MetricValue]) -> str:
    counts = sorted({metric.n for metric in both if metric.n is not None})
    if len(counts) > 1:
        return f"measured on {counts[0]:,} and on {counts[-1]:,} tokens"
    return "defined differently in the two" if len({metric.definition for metric in both}) > 1 else ""
