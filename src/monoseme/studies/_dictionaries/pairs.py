"""Two dictionaries against each other: matched by cosine and by correlation, beside what chance would match.

A latent that does not fire on the text has a direction and no correlation, so matchings are among those that fire; only MMCS,
which is about directions alone, is over all latents.

Chance. For cosines: as many random directions, and the partner's own directions with each coordinate shuffled over its latents
(which keeps what all of them share). For correlations: the partner's codes moved by half of the text, which keeps how often
and how strongly each latent fires, and over how many tokens in a row.
Letters: A, B latents of the two, D width.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from monoseme.core.seeds import generator
from monoseme.evaluation import (
    Matching,
    Nearest,
    agreement,
    largest_cosines,
    match_codes,
    match_directions,
    mmcs,
    paired_correlations,
    spread,
)
from monoseme.studies._base import Row
from monoseme.studies._dictionaries.intervals import Resampling
from monoseme.studies._dictionaries.members import Dictionary
from monoseme.studies._intervals import Interval

COSINE, CORRELATION = "cosine", "correlation"


class Pair(NamedTuple):
    """What a was matched with in b. Latents are those that fire; partners are places among those of b."""

    a: Dictionary
    b: Dictionary
    mmcs: Nearest
    """Of all latents of a among all of b, whether they fire or not."""
    by: Mapping[str, Matching]
    """cosine and correlation -> their matchings."""
    chance: Mapping[str, Nearest]
    """random, shuffled (cosines) and moved (correlations) -> the nearest of each of a."""

    @property
    def name(self) -> str:
        """`a → b`."""
        return f"{self.a.name} → {self.b.name}"

    def similarity(self, criterion: str, how: str) -> np.ndarray:
        """[A] of each latent of a with its partner: `nearest` or `assigned`; NaN without one."""
        found = self.by[criterion]
        partner = found.assigned if how == "assigned" else found.nearest
        return np.full(len(self.a.numbers), np.nan) if partner is None else partner.similarity

    def nearest_of(self, criterion: str) -> Dictionary:
        """The nearest in b of each latent of a, in the order of a."""
        return self.b.of(self.by[criterion].nearest.partner)


def compare(a: Dictionary, b: Dictionary, *, most_assigned: int, seed: int) -> tuple[Pair, Pair]:
    """a against b, and b against a."""
    one, other = a.firing(), b.firing()
    by = {
        COSINE: match_directions(one.directions, other.directions, most_assigned=most_assigned),
        CORRELATION: match_codes(one.codes, other.codes, most_assigned=most_assigned),
    }
    moved = match_codes(one.codes, other.codes.moved(other.codes.n_tokens // 2), most_assigned=0)
    there = _chance(one, other, seed=seed) | {"moved": moved.nearest}
    back = _chance(other, one, seed=seed) | {"moved": moved.back}
    turned = {criterion: matching.turned() for criterion, matching in by.items()}
    return (
        Pair(one, other, largest_cosines(a.directions, b.directions), by, there),
        Pair(other, one, largest_cosines(b.directions, a.directions), turned, back),
    )


def _chance(a: Dictionary, b: Dictionary, *, seed: int) -> dict[str, Nearest]:
    stream = generator(seed, "dictionaries", a.name, b.name)
    random = torch.randn(b.directions.shape, generator=stream, dtype=torch.float64)
    order = torch.rand(b.directions.shape, generator=stream).argsort(dim=0)
    shuffled = b.directions.gather(0, order)
    return {"random": largest_cosines(a.directions, random), "shuffled": largest_cosines(a.directions, shuffled)}


def pair_row(pair: Pair, resampling: Resampling) -> Row:
    """The table `pairs`: means of the pair, and how far the two criteria agree."""
    cosine, correlation = pair.by[COSINE], pair.by[CORRELATION]
    between = mmcs(pair.mmcs)
    same = resampling.mean(agreement(cosine.nearest, correlation.nearest))
    return {
        "a": pair.a.name,
        "b": pair.b.name,
        "n_a": len(pair.a.numbers),
        "n_b": len(pair.b.numbers),
        "mmcs": between.mean,
        "mmcs_var": between.var,
        "mmcs_std": between.std,
        "mmcs_sem": between.sem,
        "mmcs_random": spread(pair.chance["random"].similarity).mean,
        "mmcs_shuffled": spread(pair.chance["shuffled"].similarity).mean,
        "mean_correlation": spread(correlation.nearest.similarity).mean,
        "mean_correlation_moved": spread(pair.chance["moved"].similarity).mean,
        "same_nearest": _value(same),
        "same_nearest_low": same.low,
        "same_nearest_high": same.high,
        "same_assigned": _same_assigned(cosine, correlation),
        "same_number": float((pair.a.numbers == pair.nearest_of(COSINE).numbers).mean()),
        "mean_cosine_assigned": spread(pair.similarity(COSINE, "assigned")).mean,
        "mean_correlation_assigned": spread(pair.similarity(CORRELATION, "assigned")).mean,
        "n_assigned": None if cosine.assigned is None else int(cosine.assigned.exists.sum()),
    }


def share_rows(pair: Pair, thresholds: Mapping[str, Sequence[float]], resampling: Resampling) -> list[Row]:
    """The table `matched`: the share of latents of a whose partner is at or above each threshold, and what chance matches."""
    kinds = [(c, how, pair.similarity(c, how)) for c in (COSINE, CORRELATION) for how in ("nearest", "assigned")]
    kinds += [(COSINE, name, pair.chance[name].similarity) for name in ("random", "shuffled")]
    kinds += [(CORRELATION, "moved", pair.chance["moved"].similarity)]
    rows: list[Row] = []
    for criterion, how, similarity in kinds:
        for threshold in thresholds[criterion] if np.isfinite(similarity).any() else ():
            share = resampling.mean(at_least(similarity, threshold))
            names = {"a": pair.a.name, "b": pair.b.name, "criterion": criterion, "partner": how, "threshold": threshold}
            rows.append(names | {"share": share.value, "low": share.low, "high": share.high, "n": len(similarity)})
    return rows


def match_rows(pair: Pair) -> list[Row]:
    """The table `latents`: each latent of a with its partners in b."""
    cosine, correlation = pair.by[COSINE], pair.by[CORRELATION]
    near = pair.nearest_of(COSINE)
    together = paired_correlations(pair.a.codes, near.codes)
    densities, of_near = pair.a.density, near.density
    return [
        {
            "a": pair.a.name,
            "b": pair.b.name,
            "latent": int(latent),
            "density": float(densities[i]),
            "nearest_by_cosine": int(near.numbers[i]),
            "cosine": _number(cosine.nearest.similarity[i]),
            "correlation_of_that": _number(together[i]),
            "density_of_that": float(of_near[i]),
            "nearest_by_correlation": _partner(correlation.nearest, pair.b, i),
            "correlation": _number(correlation.nearest.similarity[i]),
            "assigned_by_cosine": _partner(cosine.assigned, pair.b, i),
            "assigned_by_correlation": _partner(correlation.assigned, pair.b, i),
        }
        for i, latent in enumerate(pair.a.numbers)
    ]


def at_least(similarity: np.ndarray, threshold: float) -> np.ndarray:
    """[A] float64: 1 where a latent has a partner so similar, 0 where it has not."""
    return (np.nan_to_num(similarity, nan=-np.inf) >= threshold).astype(np.float64)


def _same_assigned(cosine: Matching, correlation: Matching) -> float | None:
    if cosine.assigned is None or correlation.assigned is None:
        return None
    return spread(agreement(cosine.assigned, correlation.assigned)).mean


def _partner(found: Nearest | None, b: Dictionary, i: int) -> int | None:
    return int(b.numbers[found.partner[i]]) if found is not None and found.exists[i] else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _value(interval: Interval) -> float | None:
    return _number(interval.value)
