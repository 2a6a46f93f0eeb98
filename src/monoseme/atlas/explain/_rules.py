"""Chooses the few signs that best tell a latent's firings from other tokens.

Greedy: take the sign that most raises (share of firings matched) - (share of other tokens matched) of the signs taken so far
together, until the gain is too small to be more than chance. That difference is twice the balanced accuracy minus one.

Letters: P firings of one latent, M background tokens, C candidate signs.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.explain._features import FAMILIES, NONE, Family

_MOST_CANDIDATES = 48
_SMALLEST_GAIN = 0.02
"""Share of firings below which a sign is not worth naming."""
_FEWEST = 3
"""Firings that must have a sign (count)."""
_LOG_CHANCE = float(np.log(1e-4))
"""Largest probability (its logarithm) that so many firings have a sign by chance: a latent has some hundreds of candidates."""


class Sign(NamedTuple):
    """A chosen sign with its counts."""

    family: str
    code: int
    recall: float
    adds: float
    false_rate: float


class BackgroundIndex:
    """Finds the background tokens that have a sign."""

    def __init__(self, codes: NDArray[np.int64]) -> None:
        """`codes` [M, columns] as `SignReader.codes` gives them."""
        self.n_rows = len(codes)
        self._families = {family.name: _inverted(codes[:, family.columns]) for family in FAMILIES}

    def rows(self, family: str, code: int) -> NDArray[np.int64]:
        """Rows that have the sign; a row may come more than once where a family has several columns."""
        codes, rows = self._families[family]
        first, last = np.searchsorted(codes, [code, code + 1])
        return rows[first:last]

    def counts(self, family: str, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many rows have each sign, one code of each column counted."""
        known = self._families[family].codes
        return np.searchsorted(known, codes, side="right") - np.searchsorted(known, codes, side="left")


class _Inverted(NamedTuple):
    codes: NDArray[np.int64]
    rows: NDArray[np.int64]


def _inverted(codes: NDArray[np.int64]) -> _Inverted:
    flat = codes.reshape(-1)
    order = np.argsort(flat, kind="stable")
    return _Inverted(flat[order], order // codes.shape[1])


def choose_signs(firings: NDArray[np.int64], index: BackgroundIndex, fires: NDArray[np.int64], *, most: int) -> list[Sign]:
    """At most `most` signs of one latent, the most telling first.

    `firings` [P, columns] are the codes where it fires; `fires` are the background rows on which it fires too, which count
    neither way. Signs seen on fewer than _FEWEST firings are not considered.
    """
    candidates = _candidates(firings, index)
    if not candidates:
        return []
    others = np.ones(index.n_rows, dtype=bool)
    others[fires] = False
    n_others = max(1, int(others.sum()))
    matched = np.stack([candidate.matches for candidate in candidates])
    false = np.zeros((len(candidates), index.n_rows), dtype=bool)
    for row, candidate in zip(false, candidates, strict=True):
        row[index.rows(candidate.family.name, candidate.code)] = True
    false &= others
    recall, false_rate = matched.mean(axis=1), false.sum(axis=1) / n_others
    cost = np.array([candidate.family.cost for candidate in candidates])
    smallest = max(_SMALLEST_GAIN, (_FEWEST - 0.5) / len(firings))
    chosen: list[Sign] = []
    while len(chosen) < most:
        adds, false_adds = matched.mean(axis=1), false.sum(axis=1) / n_others
        usual = (false_adds * n_others + 1) / (n_others + 2)  # smoothed: a sign not seen elsewhere is rare, not impossible
        is_sure = _log_chance(adds, usual, n=len(firings)) < _LOG_CHANCE
        gain = np.where(is_sure, adds - false_adds - cost, -1.0)
        best = int(gain.argmax())
        if gain[best] < smallest:
            break
        family, code, _ = candidates[best]
        chosen.append(Sign(family.name, code, float(recall[best]), float(adds[best]), float(false_rate[best])))
        matched = matched & ~matched[best]
        false = false & ~false[best]
    return chosen


def _log_chance(share: NDArray[np.float64], usual: NDArray[np.float64], *, n: int) -> NDArray[np.float64]:
    """Upper bound on log P(at least share * n of n draws) where each has probability `usual`; 0 where share <= usual.

    Source: Chernoff's bound, exp(-n KL(share, usual)); the normal approximation is far off for rare signs.
    """
    inside = share * np.log(np.maximum(share, 1e-300) / usual)
    outside = (1 - share) * np.log(np.maximum(1 - share, 1e-300) / (1 - usual))
    return np.where(share > usual, -n * (inside + outside), 0.0)


class _Candidate(NamedTuple):
    family: Family
    code: int
    matches: NDArray[np.bool_]


def _candidates(firings: NDArray[np.int64], index: BackgroundIndex) -> list[_Candidate]:
    """The signs with the largest difference of shares, each taken alone."""
    found: list[_Candidate] = []
    differences: list[NDArray[np.float64]] = []
    for family in FAMILIES:
        codes = firings[:, family.columns]
        distinct, counts = np.unique(codes, return_counts=True)
        frequent = distinct[(counts >= _FEWEST) & (distinct != NONE)]
        matches = (codes[:, :, None] == frequent).any(axis=1).T
        share = index.counts(family.name, frequent) / max(1, index.n_rows)
        differences.append(matches.mean(axis=1) - share - family.cost)
        found += [_Candidate(family, code, row) for code, row in zip(frequent.tolist(), matches, strict=True)]
    best = np.argsort(-np.concatenate(differences), kind="stable")  # stable: the simpler family stays first among equals
    return [found[i] for i in best[:_MOST_CANDIDATES]]
