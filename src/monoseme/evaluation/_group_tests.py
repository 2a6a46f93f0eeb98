"""Whether groups differ, of thousands of latents at once: rank tests with ties, and the same with other variables held fixed.

Each test is the score of the group in a linear model of the ranks. With nothing held fixed it is the classical test: Wilcoxon's
signed ranks (exact where few differ), Mann-Whitney, Kruskal-Wallis, all with their corrections for ties. With variables held
fixed, ranks and group are both replaced by what the variables leave of them, and the score's variance is the sum of squared
contributions, which holds whatever the variance of a latent depends on.

Source: Wilcoxon 1945; Mann and Whitney 1947; Kruskal and Wallis 1952; Quade 1967 (rank analysis of covariance); Hemerik, Goeman
and Finos 2020 (sign-flipped scores); White 1980 and MacKinnon and White 1985 (variance, the form HC2).

Letters: n units (texts or pairs), J latents, G groups, r directions held fixed. Everything is float64.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

_EXACT_UNTIL = 50
"""Pairs that differ, up to which the distribution of signed ranks is counted out; above, the normal one is as good."""
_NEGLIGIBLE = 1e-9
"""Singular values below this share of the largest are no direction."""


class Tested(NamedTuple):
    """A test of each latent."""

    statistic: Array
    """[J] standard score, above 0 where the first group has more; of more than two groups, chi-squared with G - 1 degrees."""
    p: Array
    """[J] two-sided; NaN where nothing differs at all."""


class Difference(NamedTuple):
    """How much a latent differs, in its own unit, with the other variables held fixed."""

    value: Array
    """[J] coefficient of the group."""
    standard_error: Array
    """[J] HC2: of an unadjusted pair Student's, of two unadjusted groups Welch's."""
    spread: Array
    """[J] standard deviation of what the model leaves."""
    degrees: int
    """Units less coefficients."""


def directions(columns: Array) -> Array:
    """An orthonormal basis [n, r] of what the columns [n, c] span; columns that say nothing new are left out."""
    u, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return u[:, sizes > _NEGLIGIBLE * max(float(sizes.max(initial=0.0)), 1e-300)]


def without(x: Array, basis: Array) -> Array:
    """What an orthonormal basis [n, r] leaves of the columns of x [n, ...]."""
    return x - basis @ (basis.T @ x)


def signed_ranks(differences: Array) -> Array:
    """Ranks of the sizes among the differences [n, J] that are not 0, with their signs; 0 stays 0, ties share their mean rank."""
    sizes = np.abs(differences)
    return np.sign(differences) * (stats.rankdata(sizes, axis=0) - (sizes == 0).sum(axis=0))


def signed_rank_test(differences: Array, fixed: Array | None = None) -> Tested:
    """Whether paired differences [n, J] lie about 0. `fixed` [n, r], orthonormal: differences within the pairs to hold fixed."""
    ranks = signed_ranks(differences)
    if fixed is not None:
        return _score(np.ones(len(ranks)), ranks, fixed)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = ranks.sum(axis=0) / np.sqrt((ranks**2).sum(axis=0))
    n_differing = (ranks != 0).sum(axis=0)
    p = 2 * stats.norm.sf(np.abs(z))
    for j in np.flatnonzero((n_differing > 0) & (n_differing <= _EXACT_UNTIL)):
        p[j] = _exact_p(ranks[:, j])
    return Tested(z, p)


def rank_sum_test(values: Array, in_first: NDArray[np.bool_], fixed: Array | None = None) -> Tested:
    """Whether the units of one group have larger values [n, J] than the others. `fixed` spans the constant too."""
    ranks = stats.rankdata(values, axis=0)
    if fixed is not None:
        return _score(in_first.astype(np.float64), ranks, fixed)
    group, ranks = in_first - in_first.mean(), ranks - ranks.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = group @ ranks / np.sqrt((group**2).sum() * (ranks**2).sum(axis=0) / (len(ranks) - 1))
    return Tested(z, 2 * stats.norm.sf(np.abs(z)))


def groups_test(values: Array, group: NDArray[np.int64], fixed: Array | None = None) -> Tested:
    """Whether any of the groups 0 .. G - 1 has larger or smaller values [n, J]. `fixed` spans the constant too."""
    ranks = stats.rankdata(values, axis=0)
    basis = _constant(len(ranks)) if fixed is None else fixed
    marks = without((group[:, None] == np.arange(1, int(group.max()) + 1)).astype(np.float64), basis)
    left = without(ranks, basis)
    scores = left.T @ marks
    if fixed is None:
        variance = (left**2).sum(axis=0)[:, None, None] / (len(ranks) - 1) * (marks.T @ marks)
    else:
        variance = np.einsum("nj,na,nb->jab", left**2 / _kept(basis)[:, None], marks, marks, optimize=True)
    chi2 = np.einsum("ja,jab,jb->j", scores, np.linalg.pinv(variance, hermitian=True), scores)
    chi2 = np.where((left**2).sum(axis=0) > 0, chi2, np.nan)
    return Tested(chi2, stats.chi2.sf(chi2, marks.shape[1]))


def difference(values: Array, group: Array, fixed: Array) -> Difference:
    """The coefficient of `group` [n] beside the orthonormal `fixed` [n, r] in a linear model of each column of values [n, J].

    For pairs: their differences, a group of ones, and `fixed` without the constant. For two groups: 1 in the first, 0 in the
    other, and `fixed` with the constant. Of ranks times 2 / n, the coefficient is Cliff's delta.
    """
    own = without(group, fixed)
    size = float(own @ own)
    degrees = len(values) - fixed.shape[1] - 1
    slope = own @ values / size
    left = without(values, fixed) - np.outer(own, slope)
    kept = _kept(fixed) - own**2 / size
    squares = left**2 / np.maximum(kept, _NEGLIGIBLE)[:, None]
    return Difference(slope, np.sqrt(own**2 @ squares) / size, np.sqrt((left**2).sum(axis=0) / max(degrees, 1)), degrees)


def cliffs_delta(values: Array, in_first: NDArray[np.bool_], fixed: Array | None = None) -> Difference:
    """P(first > other) - P(first < other) of each column [n, J], in [-1, 1]; 2 AUROC - 1. With `fixed`, of what it leaves."""
    basis = _constant(len(values)) if fixed is None else fixed
    return difference(stats.rankdata(values, axis=0) * (2 / len(values)), in_first.astype(np.float64), basis)


def explained_share(values: Array, fixed: Array, *, about_mean: bool) -> Array:
    """Share of the squares of each column [n, J] that `fixed` explains (fraction), about the mean or about 0; NaN for none."""
    own = values - values.mean(axis=0) if about_mean else values
    total = (own**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - (without(own, fixed) ** 2).sum(axis=0) / total


def _score(group: Array, ranks: Array, fixed: Array) -> Tested:
    own, left = without(group, fixed), without(ranks, fixed)
    variance = own**2 @ (left**2 / _kept(fixed)[:, None])
    varies = (left**2).sum(axis=0) > _NEGLIGIBLE * (ranks**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(varies, own @ left / np.sqrt(variance), np.nan)
    return Tested(z, 2 * stats.norm.sf(np.abs(z)))


def _kept(fixed: Array) -> Array:
    """[n] share of each unit's own variance that the fit does not take (1 - leverage)."""
    return np.maximum(1 - (fixed**2).sum(axis=1), _NEGLIGIBLE)


def _constant(n: int) -> Array:
    return np.full((n, 1), n**-0.5)


def _exact_p(ranks: Array) -> float:
    """Two-sided: over all signs that the ranks could have had. Doubled, mean ranks of ties are whole numbers."""
    doubled = np.rint(2 * np.abs(ranks[ranks != 0])).astype(np.int64)
    chance = np.zeros(int(doubled.sum()) + 1)
    chance[0] = 1.0
    for rank in doubled:
        with_it = np.zeros_like(chance)
        with_it[rank:] = chance[: len(chance) - rank]
        chance = (chance + with_it) / 2
    seen = int(np.rint(2 * ranks[ranks > 0].sum()))
    return float(min(1.0, 2 * min(chance[: seen + 1].sum(), chance[seen:].sum())))
