"""Rank tests against SciPy, against counting out all signs, and under nulls in which a confound does all the work."""

import itertools

import numpy as np
import pytest
from scipy import stats

from monoseme.evaluation._group_tests import (
    cliffs_delta,
    difference,
    directions,
    explained_share,
    groups_test,
    rank_sum_test,
    signed_rank_test,
    signed_ranks,
)

RNG = np.random.default_rng


def tied(seed: int, n: int, j: int) -> np.ndarray:
    """Few different values, half of them 0, as the activations of sparse latents have."""
    rng = RNG(seed)
    return rng.integers(1, 6, (n, j)) * (rng.random((n, j)) < 0.5) * rng.choice([-1.0, 1.0], (n, j))


def test_signed_ranks_leave_zeros_out_and_share_ties() -> None:
    found = signed_ranks(np.array([[0.0], [-3.0], [1.0], [1.0], [0.0], [7.0]]))
    assert found[:, 0].tolist() == [0.0, -3.0, 1.5, 1.5, 0.0, 4.0]


def test_few_pairs_are_tested_exactly_whatever_the_ties() -> None:
    d = tied(0, 9, 7)
    found = signed_rank_test(d)
    for j in range(7):
        ranks = signed_ranks(d)[:, j]
        sizes = np.abs(ranks[ranks != 0])
        sums = np.array([np.dot(signs, sizes) for signs in itertools.product((-1.0, 1.0), repeat=len(sizes))])
        assert found.p[j] == pytest.approx((np.abs(sums) >= abs(ranks.sum()) - 1e-9).mean())


def test_many_pairs_agree_with_scipy() -> None:
    d = tied(1, 211, 5)
    expected = stats.wilcoxon(d, zero_method="wilcox", correction=False, method="asymptotic", axis=0)
    np.testing.assert_allclose(signed_rank_test(d).p, expected.pvalue, rtol=1e-9)


def test_two_groups_agree_with_scipy() -> None:
    y, first = tied(2, 97, 5), RNG(3).random(97) < 0.3
    found = rank_sum_test(y, first)
    expected = stats.mannwhitneyu(y[first], y[~first], use_continuity=False, method="asymptotic", axis=0)
    np.testing.assert_allclose(found.p, expected.pvalue, rtol=1e-9)
    u = expected.statistic / (first.sum() * (~first).sum())
    np.testing.assert_allclose(cliffs_delta(y, first).value, 2 * u - 1, atol=1e-12)


def test_three_groups_agree_with_scipy() -> None:
    y, group = tied(4, 101, 5), RNG(5).integers(0, 3, 101)
    found = groups_test(y, group)
    for j in range(5):
        expected = stats.kruskal(*(y[group == g, j] for g in range(3)))
        assert found.statistic[j] == pytest.approx(expected.statistic)
        assert found.p[j] == pytest.approx(expected.pvalue)


def test_unadjusted_differences_are_students_and_welchs() -> None:
    y, first = tied(6, 53, 3), RNG(7).random(53) < 0.4
    pairs = difference(y, np.ones(53), np.zeros((53, 0)))
    np.testing.assert_allclose(pairs.value / pairs.standard_error, stats.ttest_1samp(y, 0).statistic)
    np.testing.assert_allclose(pairs.spread, y.std(axis=0, ddof=1))
    two = difference(y, first.astype(float), np.full((53, 1), 53**-0.5))
    welch = stats.ttest_ind(y[first], y[~first], equal_var=False).statistic
    np.testing.assert_allclose(two.value / two.standard_error, welch)


def test_held_fixed_the_difference_is_that_of_least_squares() -> None:
    rng = RNG(8)
    z, first = rng.normal(size=(41, 2)), rng.random(41) < 0.5
    y = rng.normal(size=(41, 3))
    whole = np.column_stack([np.ones(41), z, first])
    expected = np.linalg.lstsq(whole, y, rcond=None)[0][-1]
    found = difference(y, first.astype(float), directions(np.column_stack([np.ones(41), z, z[:, 0]])))
    np.testing.assert_allclose(found.value, expected, atol=1e-12)
    assert found.degrees == 41 - 4


def test_nothing_that_differs_has_no_p() -> None:
    zeros = np.zeros((13, 2))
    assert np.isnan(signed_rank_test(zeros).p).all()
    assert np.isnan(rank_sum_test(zeros, np.arange(13) < 5).p).all()
    assert np.isnan(groups_test(zeros, np.arange(13) % 3).p).all()
    fixed = directions(np.column_stack([np.ones(13), np.arange(13.0)]))
    assert np.isnan(rank_sum_test(zeros, np.arange(13) < 5, fixed).p).all()


def test_under_the_null_p_values_are_uniform() -> None:
    """2,003 latents that know nothing of the groups, most values 0: the largest gap to a uniform is within chance (p > 0.001)."""
    rng = RNG(9)
    n, j = 307, 2003
    y = rng.exponential(size=(n, j)) * (rng.random((n, j)) < rng.uniform(0.1, 0.9, j))
    z = rng.normal(size=n)
    first = rng.random(n) < 1 / (1 + np.exp(-z))
    fixed = directions(np.column_stack([np.ones(n), z, z**2, z**3]))
    signs = rng.choice([-1.0, 1.0], (n, j))
    dz = directions(rng.normal(size=(n, 2)) + 0.5)
    group = rng.integers(0, 3, n)
    for found in (
        rank_sum_test(y, first),
        rank_sum_test(y, first, fixed),
        signed_rank_test(y * signs),
        signed_rank_test(y * signs, dz),
        groups_test(y, group),
        groups_test(y, group, fixed),
    ):
        assert stats.kstest(found.p, "uniform").pvalue > 0.001


def test_what_only_follows_a_confound_is_told_apart() -> None:
    """Latents rise with z, and z with the group: every one differs, none does once z is held fixed."""
    rng = RNG(10)
    n, j = 401, 499
    z = rng.normal(size=n)
    first = z + rng.normal(size=n) > 0
    y = np.maximum(z[:, None] + rng.normal(size=(n, j)), 0.0)
    fixed = directions(np.column_stack([np.ones(n), z, z**2, z**3]))
    assert (rank_sum_test(y, first).p < 0.05).mean() > 0.99
    assert (rank_sum_test(y, first, fixed).p < 0.05).mean() < 0.08
    assert np.abs(cliffs_delta(y, first, fixed).value).mean() < 0.3 * np.abs(cliffs_delta(y, first).value).mean()
    assert explained_share(stats.rankdata(y, axis=0), fixed, about_mean=True).min() > 0.2
