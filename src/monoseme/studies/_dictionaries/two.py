"""One SAE against another, for people: their numbers side by side, matched latents from the most to the least alike, and what
either has that the other lacks."""

from collections.abc import Mapping, Sequence

import numpy as np

from monoseme.core.intervals import Z_95
from monoseme.evaluation import EvalResult, Metric
from monoseme.studies._base import Row
from monoseme.studies._dictionaries.pairs import CORRELATION, COSINE, Pair
from monoseme.studies._dictionaries.words import Words

_SIDE_BY_SIDE = ("fvu", "l0", "l1", "dead_fraction", "dense_fraction")
"""Of fidelity."""


def side_by_side(names: Sequence[str], fidelity: Mapping[str, EvalResult], own: Mapping[str, Sequence[Metric]]) -> list[Row]:
    """The table `side_by_side`: a row for each metric, for each SAE its value and, under ±, 1.96 standard errors."""
    found = {n: [*(m for m in fidelity[n].metrics if m.name in _SIDE_BY_SIDE), *own[n]] for n in names}
    rows: list[Row] = []
    for i, first in enumerate(found[names[0]]):
        row: Row = {"metric": first.name}
        for name in names:
            metric = found[name][i]
            half = None if metric.standard_error is None else Z_95 * metric.standard_error
            row |= {name: metric.value, f"{name} ±": half}
        rows.append(row | {"unit": first.unit})
    return rows


def example_rows(pair: Pair, words: Words, *, n: int) -> list[Row]:
    """The table `examples`: n matched pairs evenly over the order of their cosines, one to one where that was found."""
    how = "nearest" if pair.by[COSINE].assigned is None else "assigned"
    similarity = pair.similarity(COSINE, how)
    order = np.argsort(-np.nan_to_num(similarity, nan=-np.inf), kind="stable")[: int(np.isfinite(similarity).sum())]
    places = order[np.unique(np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(int))] if len(order) else order
    found = pair.by[COSINE].assigned if how == "assigned" else pair.by[COSINE].nearest
    partner = pair.by[COSINE].nearest.partner if found is None else found.partner
    return [
        {
            "a": pair.a.name,
            "b": pair.b.name,
            "latent_a": int(pair.a.numbers[i]),
            "latent_b": int(pair.b.numbers[partner[i]]),
            "cosine": float(similarity[i]),
            "density_a": float(pair.a.density[i]),
            "density_b": float(pair.b.density[partner[i]]),
            "a_is": words.of(pair.a, int(i)),
            "b_is": words.of(pair.b, int(partner[i])),
        }
        for i in places
    ]


def unmatched_rows(pair: Pair, words: Words, *, below: Mapping[str, float], n: int) -> list[Row]:
    """The table `unmatched`: of the latents of a that nothing in b is like, by neither criterion, the n that fire most."""
    cosine, correlation = pair.similarity(COSINE, "nearest"), pair.similarity(CORRELATION, "nearest")
    is_alone = (np.nan_to_num(cosine) < below[COSINE]) & (np.nan_to_num(correlation) < below[CORRELATION])
    alone = np.flatnonzero(is_alone)
    often = alone[np.argsort(-pair.a.codes.n_fired[alone], kind="stable")][:n]
    return [
        {
            "of": pair.a.name,
            "not_in": pair.b.name,
            "latent": int(pair.a.numbers[i]),
            "density": float(pair.a.density[i]),
            "cosine": float(cosine[i]),
            "correlation": float(correlation[i]),
            "latent_is": words.of(pair.a, int(i)),
        }
        for i in often
    ]
