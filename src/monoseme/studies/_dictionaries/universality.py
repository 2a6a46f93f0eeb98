"""How many latents come back with other seeds: shares matched in one other SAE, in all others, in any, by threshold.

Source: the question of Li et al. 2015 ("Convergent learning") and of Paulo and Belrose 2025, arXiv:2501.16615, who find that SAEs
of different seeds share only a part of their latents. Letters: m seeds, F latents that fire.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from monoseme.studies._base import Row
from monoseme.studies._dictionaries.families import Family
from monoseme.studies._dictionaries.pairs import CORRELATION, COSINE, Pair, at_least
from monoseme.studies._intervals import Interval, of_sample

Pairs = Mapping[tuple[str, str], Pair]
"""Names of a and b -> a against b, in both directions."""
GRID = tuple(round(0.05 * i, 2) for i in range(21))
"""Thresholds of the curves."""
ONE, ALL, ANY, CHANCE = "one other", "every other", "any other", "by chance"
OTHER = "the other"
_CHANCE_OF = {COSINE: "random", CORRELATION: "moved"}


def curve_rows(family: Family, pairs: Pairs) -> list[Row]:
    """The table `universality_curve`: for each threshold, the share of latents with so similar a partner, and by chance.

    One other: mean over pairs of seeds with Student's interval over pairs (those that share a seed are not independent of each
    other, so it is a little narrow). Every and any other: over the m SAEs, each held against its m - 1 others.
    """
    rows: list[Row] = []
    for criterion in (COSINE, CORRELATION):
        for threshold in GRID:
            found = {
                ONE: _over_pairs(family, pairs, criterion, threshold),
                CHANCE: _by_chance(family, pairs, criterion, threshold),
            }
            if len(family.members) > 2:
                counts = [matched_in(family, i, pairs, criterion, threshold) for i in range(len(family.members))]
                others = len(family.members) - 1
                found |= {
                    ALL: of_sample([(c == others).mean() for c in counts]),
                    ANY: of_sample([(c > 0).mean() for c in counts]),
                }
            rows += [
                {"family": family.name, "criterion": criterion, "matched_in": name, "threshold": threshold} | _numbers(share)
                for name, share in found.items()
            ]
    return rows


def universality_rows(family: Family, pairs: Pairs, thresholds: Mapping[str, Sequence[float]]) -> list[Row]:
    """The table `universality`: the share of latents matched in exactly n of the m - 1 other SAEs, with intervals over SAEs."""
    rows: list[Row] = []
    for criterion, limits in thresholds.items():
        for threshold in limits:
            counts = [matched_in(family, i, pairs, criterion, threshold) for i in range(len(family.members))]
            for n in range(len(family.members)):
                share = of_sample([float((c == n).mean()) for c in counts])
                names = {"family": family.name, "criterion": criterion, "threshold": threshold, "matched_in_n": n}
                rows.append(names | {"of_others": len(family.members) - 1} | _numbers(share))
    return rows


def pair_curve_rows(pair: Pair) -> list[Row]:
    """The same as `curve_rows` for one pair, without intervals: shares of a by threshold."""
    found = {COSINE: pair.by[COSINE].nearest, CORRELATION: pair.by[CORRELATION].nearest}
    return [
        {"family": pair.name, "criterion": criterion, "matched_in": name, "threshold": threshold}
        | {"share": float(at_least(nearest.similarity, threshold).mean()), "low": None, "high": None}
        for criterion in (COSINE, CORRELATION)
        for name, nearest in ((OTHER, found[criterion]), (CHANCE, pair.chance[_CHANCE_OF[criterion]]))
        for threshold in GRID
    ]


def matched_in(family: Family, i: int, pairs: Pairs, criterion: str, threshold: float) -> np.ndarray:
    """[F] in how many of the other SAEs each latent of the i-th has a partner so similar."""
    own = family.members[i].name
    others = [pairs[own, other.name] for j, other in enumerate(family.members) if j != i]
    return np.sum([at_least(pair.similarity(criterion, "nearest"), threshold) for pair in others], axis=0)


def _over_pairs(family: Family, pairs: Pairs, criterion: str, threshold: float) -> Interval:
    names = [d.name for d in family.members]
    both = [(pairs[a, b], pairs[b, a]) for i, a in enumerate(names) for b in names[i + 1 :]]
    return of_sample(
        [float(np.mean([at_least(p.similarity(criterion, "nearest"), threshold).mean() for p in two])) for two in both]
    )


def _by_chance(family: Family, pairs: Pairs, criterion: str, threshold: float) -> Interval:
    names = [d.name for d in family.members]
    held = [pairs[a, b].chance[_CHANCE_OF[criterion]] for a in names for b in names if a != b]
    return Interval(float(np.mean([at_least(found.similarity, threshold).mean() for found in held])), None, None)


def _numbers(share: Interval) -> Row:
    return {"share": share.value, "low": share.low, "high": share.high}
