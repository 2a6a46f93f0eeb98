"""What is compared with what: pairs, or groups of texts of different sources; and the test of thousands of latents at once.

Letters: n texts, U units (pairs, or sources of a group), J latents of a block, c confounds, r directions held fixed.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

from monoseme.evaluation._csr import Csr, members
from monoseme.evaluation._group_tests import (
    Array,
    Difference,
    Tested,
    cliffs_delta,
    difference,
    directions,
    explained_share,
    groups_test,
    rank_sum_test,
    signed_rank_test,
    signed_ranks,
)
from monoseme.studies._alignment.texts import Text

_UNITS_PER_COLUMN = 20
_DEGREE = 3
"""Of the polynomial in a confound's rank, where there are enough units for so many columns."""
_LEVEL = 0.95


class Contrast(NamedTuple):
    """One comparison."""

    group: str
    other: str


class Outcome(NamedTuple):
    """What one contrast finds of J latents; each [J]. `before` is without anything held fixed."""

    mean: Array
    mean_other: Array
    difference: Array
    low: Array
    high: Array
    effect: Array
    effect_low: Array
    effect_high: Array
    p: Array
    effect_before: Array
    p_before: Array
    confound_share: Array
    """Share of the ranks' squares that the confounds explain (fraction); NaN without confounds."""


class Design(ABC):
    """Units, and how they are compared."""

    contrasts: tuple[Contrast, ...]
    effect_name: str
    n_units: int
    covariates: Array
    """[U, c] of each unit, for pairs the difference."""

    @abstractmethod
    def n_active(self, codes: Csr) -> NDArray[np.int64]:
        """[F] units in which a latent fires, in whichever group: what decides on testing it must not know the groups."""

    @abstractmethod
    def outcomes(self, codes: Csr, latents: NDArray[np.int64]) -> list[Outcome]:
        """What each contrast finds of these latents."""

    @abstractmethod
    def omnibus(self, codes: Csr, latents: NDArray[np.int64]) -> Tested | None:
        """Whether any group differs; None for two, where it is the contrast's own test."""


class Pairs(Design):
    """Two texts of one row: the first less the second."""

    effect_name = "Cohen's dz"

    def __init__(self, texts: Sequence[Text], names: Sequence[str], covariates: Array) -> None:
        """`covariates` [n, c] of each text."""
        by_pair = {(text.unit, text.group): i for i, text in enumerate(texts)}
        pairs = sorted({text.unit for text in texts})
        self._sides = [np.array([by_pair[pair, g] for pair in pairs]) for g in (0, 1)]
        self.contrasts = (Contrast(names[0], names[1]),)
        self.n_units = len(pairs)
        own = _curves(covariates, self.n_units)
        self.covariates = covariates[self._sides[0]] - covariates[self._sides[1]]
        self._fixed = directions(own[self._sides[0]] - own[self._sides[1]]) if own.shape[1] else None

    def n_active(self, codes: Csr) -> NDArray[np.int64]:
        """Pairs in which either text fires it."""
        a, b = (codes[side] for side in self._sides)
        return np.bincount(((a != 0) + (b != 0)).nonzero()[1], minlength=codes.shape[1])

    def outcomes(self, codes: Csr, latents: NDArray[np.int64]) -> list[Outcome]:
        """Of the one contrast: Wilcoxon's signed ranks, and Cohen's dz."""
        columns = codes.tocsc()[:, latents].tocsr()
        a, b = (columns[side].toarray() for side in self._sides)
        ones, nothing = np.ones(self.n_units), np.zeros((self.n_units, 0))
        before, p_before = difference(a - b, ones, nothing), signed_rank_test(a - b).p
        if self._fixed is None:
            after, p, share = before, p_before, np.full(len(latents), np.nan)
        else:
            after, p = difference(a - b, ones, self._fixed), signed_rank_test(a - b, self._fixed).p
            share = explained_share(signed_ranks(a - b), self._fixed, about_mean=False)
        low, high = _interval(after)
        dz, dz_low, dz_high = (_ratio(x, after.spread) for x in (after.value, low, high))
        dz_before = _ratio(before.value, before.spread)
        return [
            Outcome(a.mean(axis=0), b.mean(axis=0), after.value, low, high, dz, dz_low, dz_high, p, dz_before, p_before, share)
        ]

    def omnibus(self, codes: Csr, latents: NDArray[np.int64]) -> None:
        """Two sides only."""


class Groups(Design):
    """Two or more groups of independent sources; of more than two, each against all others together."""

    effect_name = "Cliff's delta"

    def __init__(self, texts: Sequence[Text], names: Sequence[str], covariates: Array, *, weights: Array, is_max: bool) -> None:
        """Of each text its `covariates` [n, c] and its tokens that count, `weights` [n]. `is_max`: of a source, the largest."""
        keys = [(text.group, text.unit) for text in texts]
        units = sorted(set(keys))
        index = {key: u for u, key in enumerate(units)}
        self._unit = np.array([index[key] for key in keys])
        self._is_max = is_max
        self.n_units = len(units)
        self._group = np.array([group for group, _ in units])
        summed: Csr = members(self._unit, self.n_units) @ sparse.diags_array(weights)
        self._mean: Csr = sparse.diags_array(1 / summed.sum(axis=1)) @ summed
        self.covariates = self._mean @ covariates
        curves = _curves(self.covariates, self.n_units)
        self._fixed = directions(np.column_stack([np.ones(self.n_units), curves])) if curves.shape[1] else None
        self.contrasts = (
            (Contrast(names[0], names[1]),) if len(names) == 2 else tuple(Contrast(name, "the others") for name in names)
        )

    def n_active(self, codes: Csr) -> NDArray[np.int64]:
        """Sources of a group that fire it."""
        rows, columns = codes.nonzero()
        pairs = np.unique(self._unit[rows].astype(np.int64) * codes.shape[1] + columns)
        return np.bincount(pairs % codes.shape[1], minlength=codes.shape[1])

    def outcomes(self, codes: Csr, latents: NDArray[np.int64]) -> list[Outcome]:
        """Of each contrast: Mann-Whitney, and Cliff's delta."""
        values = self._values(codes, latents)
        return [self._outcome(values, self._group == g) for g in range(len(self.contrasts))]

    def omnibus(self, codes: Csr, latents: NDArray[np.int64]) -> Tested | None:
        """Kruskal-Wallis."""
        if len(self.contrasts) == 1:
            return None
        return groups_test(self._values(codes, latents), self._group, self._fixed)

    def _values(self, codes: Csr, latents: NDArray[np.int64]) -> Array:
        """[U, J]"""
        columns = codes.tocsc()[:, latents].tocsr()
        if not self._is_max:
            return (self._mean @ columns).toarray()
        made = np.zeros((self.n_units, len(latents)))
        np.maximum.at(made, self._unit, columns.toarray())
        return made

    def _outcome(self, values: Array, first: NDArray[np.bool_]) -> Outcome:
        constant = np.full((self.n_units, 1), self.n_units**-0.5)
        before, p_before = cliffs_delta(values, first), rank_sum_test(values, first).p
        if self._fixed is None:
            delta, p, share = before, p_before, np.full(values.shape[1], np.nan)
        else:
            delta, p = cliffs_delta(values, first, self._fixed), rank_sum_test(values, first, self._fixed).p
            share = explained_share(stats.rankdata(values, axis=0), self._fixed, about_mean=True)
        plain = difference(values, first.astype(np.float64), constant if self._fixed is None else self._fixed)
        low, high = _interval(plain)
        delta_low, delta_high = _interval(delta)
        if self._fixed is None:  # a coefficient may leave the range of a delta, and would then lie outside its interval
            delta_low, delta_high = np.clip(delta_low, -1, 1), np.clip(delta_high, -1, 1)
        means = values[first].mean(axis=0), values[~first].mean(axis=0)
        return Outcome(*means, plain.value, low, high, delta.value, delta_low, delta_high, p, before.value, p_before, share)


def _curves(covariates: Array, n_units: int) -> Array:
    """Polynomials in the ranks of each confound [n, c]: ranks, so that one long text bends nothing; powers, so that what follows
    a confound along a bend is held fixed too. Legendre's, which are nearly at right angles."""
    if not covariates.shape[1]:
        return covariates
    degree = int(np.clip(n_units // (_UNITS_PER_COLUMN * covariates.shape[1]), 1, _DEGREE))
    ranks = (2 * stats.rankdata(covariates, axis=0) - 1) / len(covariates) - 1
    powers = np.polynomial.legendre.legvander(ranks, degree)[..., 1:]
    return powers.reshape(len(covariates), -1)


def _interval(found: Difference) -> tuple[Array, Array]:
    half = stats.t.ppf((1 + _LEVEL) / 2, max(found.degrees, 1)) * found.standard_error
    return found.value - half, found.value + half


def _ratio(a: Array, b: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return a / b
