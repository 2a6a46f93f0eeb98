"""Standard errors of scores by hand, where all outcomes are alike, and how often their intervals hold the truth."""

from math import comb

import numpy as np
import pytest

from monoseme.atlas.score import _numbers as numbers
from monoseme.atlas.score._errors import (
    auroc_error,
    balanced_error,
    least_auroc_error,
    least_balanced_error,
    least_share_error,
    n_trials,
    share_error,
)
from monoseme.core.intervals import Z_95

TRUE_RATES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)


def test_four_hits_of_four_by_hand() -> None:
    # n' = 4 + 3.8416 = 7.8416; share' = (4 + 1.9208) / 7.8416 = 0.75505; sqrt(0.75505 * 0.24495 / 7.8416) = 0.15358
    assert share_error(1.0, 4) == pytest.approx((1 - 0.75505) / 1.96 + 0.15358, abs=1e-4)
    assert share_error(0.0, 4) == pytest.approx(share_error(1.0, 4))


def test_in_the_middle_it_is_the_usual_one() -> None:
    assert share_error(0.5, 101) == pytest.approx(0.05)
    assert share_error(0.9, 100_000) == pytest.approx((0.09 / 100_000) ** 0.5, rel=0.02)


def test_errors_of_two_shares_add_as_squares() -> None:
    assert balanced_error(0.3, 0.4) == pytest.approx(0.25)


def test_a_document_is_one_trial() -> None:
    assert n_trials(np.array([1, 1, 1, 1])) == 1
    assert n_trials(np.array([1, 2, 3, 4])) == 4
    assert n_trials(np.array([1, 1, 2, 3])) == pytest.approx(16 / 6)
    assert n_trials(np.array([], dtype=np.int64)) == 0


@pytest.mark.parametrize(("area", "n_fires", "n_silent"), [(1.0, 4, 4), (0.9, 20, 30), (0.5, 10, 10), (0.0, 4, 4)])
def test_the_farther_end_of_an_aurocs_interval_solves_its_equation(area: float, n_fires: int, n_silent: int) -> None:
    half = Z_95 * auroc_error(area, n_fires, n_silent)

    def error(a: float) -> float:  # Hanley and McNeil's
        more = (n_fires - 1) * (a / (2 - a) - a * a) + (n_silent - 1) * (2 * a * a / (1 + a) - a * a)
        return ((a * (1 - a) + more) / (n_fires * n_silent)) ** 0.5

    ends = [end for end in (area - half, area + half) if 0 <= end <= 1]
    assert any(Z_95 * error(end) == pytest.approx(half, rel=1e-6) for end in ends)


def test_where_every_answer_is_right_the_number_is_still_uncertain() -> None:
    fires = np.array([True] * 4 + [False] * 20)
    documents = np.arange(24)
    weights = numbers.document_weights(documents, seed=0)
    replicates = numbers.balanced_accuracy(fires, fires, weights)
    assert numbers.estimate(replicates).standard_error == 0
    found = numbers.estimate(replicates, least=least_balanced_error(fires, fires, documents))
    assert found.value == 1
    assert found.standard_error == pytest.approx(balanced_error(share_error(1, 4), share_error(1, 20)))
    assert found.low == pytest.approx(1 - Z_95 * balanced_error(share_error(1, 4), share_error(1, 20)))
    assert found.high == 1


def test_without_both_kinds_there_is_no_error() -> None:
    fires, documents = np.ones(3, dtype=bool), np.arange(3)
    assert least_balanced_error(fires, fires, documents) is None
    assert least_auroc_error(np.nan, fires, documents) is None
    assert least_share_error(fires[:0], documents[:0]) is None


@pytest.mark.parametrize("n", [4, 10, 50])
def test_intervals_of_shares_hold_the_truth(n: int) -> None:
    holds = {k: Z_95 * share_error(k / n, n) for k in range(n + 1)}
    for rate in np.linspace(0.5, 0.99, 99).tolist():
        found = sum(comb(n, k) * rate**k * (1 - rate) ** (n - k) for k, half in holds.items() if abs(k / n - rate) <= half)
        assert found >= 0.93, rate


@pytest.mark.parametrize("n", [4, 10, 50])
@pytest.mark.parametrize(("n_silent", "silent_rate"), [(200, 0.99), (10, 0.8), (4, 0.6)])
def test_intervals_of_balanced_accuracies_hold_the_truth(n: int, n_silent: int, silent_rate: float) -> None:
    errors, others = ([share_error(k / of, of) for k in range(of + 1)] for of in (n, n_silent))
    half = Z_95 * np.array([[balanced_error(mine, other) for other in others] for mine in errors])
    value = (np.arange(n + 1)[:, None] / n + np.arange(n_silent + 1) / n_silent) / 2
    for rate in TRUE_RATES:
        chances = [
            np.array([comb(of, k) * p**k * (1 - p) ** (of - k) for k in range(of + 1)])
            for of, p in ((n, rate), (n_silent, silent_rate))
        ]
        is_held = np.abs(value - (rate + silent_rate) / 2) <= half
        assert chances[0] @ is_held @ chances[1] >= 0.93, rate


@pytest.mark.slow
@pytest.mark.parametrize("n", [4, 10, 50])
@pytest.mark.parametrize("kind", ["exponential", "two levels"])
def test_intervals_of_aurocs_hold_the_truth(n: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    for truth in TRUE_RATES:
        held = 0
        for _ in range(2000):
            silent = rng.exponential(1, 100) if kind == "exponential" else np.zeros(100)
            fires = rng.exponential(truth / (1 - truth), n) if kind == "exponential" else (rng.random(n) < 2 * truth - 1) * 1.0
            area = float((fires[:, None] > silent).mean() + 0.5 * (fires[:, None] == silent).mean())
            held += abs(area - truth) <= Z_95 * auroc_error(area, n, 100)
        assert held / 2000 >= 0.93, truth
