"""Intervals and false discovery against hand-worked numbers."""

import math

import numpy as np
import pytest

from monoseme.studies._intervals import difference, of_replicates, of_sample, q_values


def test_replicates_give_their_quantiles() -> None:
    interval = of_replicates([5.0, *np.linspace(0, 1, 101)], level=0.9)
    assert (interval.value, interval.low, interval.high) == (5.0, pytest.approx(0.05), pytest.approx(0.95))
    assert interval.excludes_zero


def test_paired_replicates_cancel_what_they_share() -> None:
    shared = np.random.default_rng(0).normal(0, 100, 201)
    found = difference(shared + 1.0, shared)
    assert (found.low, found.high) == (pytest.approx(1.0), pytest.approx(1.0))


def test_too_few_replicates_give_no_range_and_say_so() -> None:
    found = of_replicates([1.0, *[math.nan] * 30, *[1.0] * 10])
    assert (found.low, found.excludes_zero) == (None, None)
    assert "10 replicates" in str(found)


def test_a_sample_has_students_interval() -> None:
    found = of_sample([1.0, 2.0, 3.0])  # sd 1, t(0.975, 2) = 4.302653
    assert found.value == 2.0
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), rel=1e-6)
    assert of_sample([7.0]).low is None


def test_false_discovery_by_hand() -> None:
    found = q_values(
        [0.01, math.nan, 0.04, 0.03]
    )  # p sorted .01 .03 .04 of three: .03, .045, .04 -> running minimum from the right
    assert found[[0, 2, 3]] == pytest.approx([0.03, 0.04, 0.04])
    assert math.isnan(found[1])
