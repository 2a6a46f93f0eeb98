"""What the study of the residual stream found, as rows, typed metrics and findings.

Letters: L layers, W weightings of the documents.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

from monoseme.evaluation import Metric
from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._formula import Formula, evaluate, formula
from monoseme.evaluation._layer_vectors import cosines
from monoseme.models import Site
from monoseme.studies._base import Comparison, Finding, Row
from monoseme.studies._intervals import Interval, of_replicates
from monoseme.tensors.shapes import Float, Tensor

KINDS = ("centred", "raw")
_ALIKE = 0.5
"""Cosine above which two layers' vectors count as alike; random ones in D dimensions have 0 ± 1 / sqrt(D)."""


class ResidualSums(NamedTuple):
    """What two passes over the text gathered."""

    sites: tuple[Site, ...]
    sums: WeightedSums
    """As `LayerVectors.sums` gives them."""
    n_tokens: int
    n_documents: int


def pair_rows(found: ResidualSums) -> list[Row]:
    """A row for each kind and ordered pair of layers, a layer with itself included."""
    rows: list[Row] = []
    for kind in KINDS:
        cosine = cosines(found.sums, kind)
        for i, first in enumerate(found.sites):
            for j, second in enumerate(found.sites):
                interval = _interval(cosine.mean[:, i, j], found)
                var, n = float(cosine.var[i, j]), float(cosine.n[i, j])
                rows.append(
                    {"kind": kind, "first": str(first), "second": str(second), "i": i, "j": j} | _columns(interval, var, n)
                )
    return rows


def adjacent_rows(found: ResidualSums) -> list[Row]:
    """Those of neighbours, in the order of the layers."""
    return [row for row in pair_rows(found) if row["j"] == row["i"] + 1]


def layer_rows(found: ResidualSums) -> list[Row]:
    """A row for each layer: its norms."""
    n = float(found.sums["n"][0, 0])
    norm, gap = found.sums["norm"], found.sums["norm_gap"]
    intervals = [_interval(norm[:, i] / found.sums["n"][:, 0], found) for i in range(len(found.sites))]
    return [{"site": str(site), "i": i} | _columns(intervals[i], float(gap[0, i]) / n, n) for i, site in enumerate(found.sites)]


def _interval(values: Float[Tensor, " W"], found: ResidualSums) -> Interval:
    """None for one document: every replicate is then the estimate itself, or nothing."""
    if found.n_documents < 2:
        return Interval(float(values[0]), None, None, "there is one document only")
    return of_replicates(values.numpy())


def _columns(interval: Interval, var: float, n: float) -> Row:
    """`mean` with its interval over documents, and MLSAE's columns over tokens."""
    std = math.sqrt(var) if n else None
    columns: Row = {"mean": interval.value if n else None, "low": interval.low, "high": interval.high}
    return columns | {"var": var if n else None, "std": std, "sem": std / math.sqrt(n) if std is not None else None, "n": int(n)}


def metrics_of(found: ResidualSums) -> list[Metric]:
    """The numbers that sum the model up."""
    return evaluate(_FORMULAS, found.sums, n_documents=found.n_documents)


def _neighbours(kind: str) -> Callable[[WeightedSums], Float[Tensor, " W"]]:
    return lambda s: cosines(s, kind).mean.diagonal(1, 1, 2).mean(1)


def _ends(kind: str) -> Callable[[WeightedSums], Float[Tensor, " W"]]:
    return lambda s: cosines(s, kind).mean[:, 0, -1]


def _cosine(name: str, text: str, compute: Callable[[WeightedSums], Tensor]) -> Formula:
    why = "every vector of some layer is its mean"
    return formula(name, text, compute, unit="cosine", better="neither", why_missing=why)


_FORMULAS = (
    _cosine(
        "adjacent_cosine",
        "Mean over neighbouring layers and tokens of the cosine of the token's vectors, each less the mean vector of its layer.",
        _neighbours("centred"),
    ),
    _cosine("adjacent_cosine_raw", "The same of the vectors as they are.", _neighbours("raw")),
    _cosine(
        "end_cosine", "Mean over tokens of the cosine of the centred vectors at the first and the last layer.", _ends("centred")
    ),
    formula(
        "norm_growth",
        "Mean norm at the last layer / mean norm at the first.",
        lambda s: ratio(s["norm"][:, -1], s["norm"][:, 0]),
        unit="ratio",
        better="neither",
        why_missing="every vector of the first layer is zero",
    ),
)


def findings_of(found: ResidualSums) -> list[Finding]:
    """What MLSAE builds on, and what it says of larger models."""
    adjacent = [row for row in adjacent_rows(found) if row["kind"] == "centred"]
    return [_alike(adjacent), _falls(found), _GROWS]


def _alike(adjacent: list[Row]) -> Finding:
    claim = (
        "The residual stream at neighbouring layers is alike, which is why one dictionary can serve all (MLSAE, "
        f"arXiv:2409.04185). Alike: the mean cosine of centred vectors is above {_ALIKE:g} with its whole interval."
    )
    told = [(row, f"{row['first']} and {row['second']}: {_said(row)}") for row in adjacent]
    return Finding(claim, tuple(Comparison((row["low"] or row["mean"]) > _ALIKE, text) for row, text in told))


def _said(row: Row) -> str:
    return str(Interval(row["mean"], row["low"], row["high"], "too few documents"))


def _falls(found: ResidualSums) -> Finding:
    claim = "The farther apart two layers are, the less alike: the cosine falls with each further layer, on average over pairs."
    mean = cosines(found.sums, "centred").mean
    by_gap = [mean.diagonal(gap, 1, 2).mean(1) for gap in range(1, len(found.sites))]
    steps = [_interval(near - far, found) for near, far in itertools.pairwise(by_gap)]
    told = [
        f"{i} against {i + 1} layers apart: {float(by_gap[i - 1][0]):.3f} less {float(by_gap[i][0]):.3f} is {step}"
        for i, step in enumerate(steps, 1)
    ]
    comparisons = [
        Comparison(step.value > 0 and step.excludes_zero is True, text) for step, text in zip(steps, told, strict=True)
    ]
    return Finding(claim, tuple(comparisons), "" if comparisons else "Two layers have one distance only.")


_GROWS = Finding(
    "Neighbouring layers are the more alike the larger the model (MLSAE, arXiv:2409.04185).",
    (),
    "One model was measured; give each size of a family with --model and compare the metric adjacent_cosine.",
)
