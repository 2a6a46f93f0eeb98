"""The numbers of scores by hand, against plain loops, and their intervals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoseme.atlas.score import _numbers as numbers
from monoseme.atlas.score.detection import auroc

FIRES = np.array([True, True, False, False, False])
SAYS = np.array([True, False, False, True, False])
ONE = np.ones((1, 5))


def test_balanced_accuracy_by_hand() -> None:
    # 1 of 2 firing and 2 of 3 silent
    assert numbers.balanced_accuracy(SAYS, FIRES, ONE)[0] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_whoever_always_says_the_same_scores_a_half() -> None:
    for always in (True, False):
        assert numbers.balanced_accuracy(np.full(5, always), FIRES, ONE)[0] == 0.5


def test_without_excerpts_of_one_kind_there_is_no_number() -> None:
    assert math.isnan(numbers.balanced_accuracy(SAYS, np.ones(5, dtype=bool), ONE)[0])
    assert numbers.estimate(numbers.weighted_auroc(np.arange(5.0), np.zeros(5, dtype=bool), ONE)).value is None


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=2, max_size=23).filter(
        lambda rows: len({fires for _, fires, _ in rows}) == 2
    )
)
def test_a_weight_is_a_repetition(rows: list[tuple[int, bool, int]]) -> None:
    strength, fires = np.array([float(s) for s, _, _ in rows]), np.array([f for _, f, _ in rows])
    repeat = np.array([n for _, _, n in rows])
    found = numbers.weighted_auroc(strength, fires, np.stack([np.ones(len(rows)), repeat.astype(float)]))
    assert found[0] == pytest.approx(auroc(strength[fires], strength[~fires]))
    many, of = np.repeat(strength, repeat), np.repeat(fires, repeat)
    if of.any() and not of.all():
        assert found[1] == pytest.approx(auroc(many[of], many[~of]))
        says = strength >= 2
        twice = numbers.balanced_accuracy(says, fires, repeat[None].astype(float))[0]
        assert twice == pytest.approx(((many >= 2)[of].mean() + (many < 2)[~of].mean()) / 2)


def test_pearson_over_excerpts_is_that_of_all_tokens_together() -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=n), rng.normal(size=n) + 3.0) for n in (3, 5, 7)]
    x, y = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    found = numbers.pearson(numbers.pair_sums(pairs), np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]]))
    assert found[0] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    again = [np.concatenate([pairs[0][side], pairs[0][side], pairs[2][side]]) for side in (0, 1)]
    assert found[1] == pytest.approx(np.corrcoef(*again)[0, 1], abs=1e-12)


def test_guesses_that_do_not_vary_have_no_correlation() -> None:
    sums = numbers.pair_sums([(np.full(5, 0.1), np.arange(5.0)), (np.full(3, 0.1), np.arange(3.0))])
    assert math.isnan(numbers.pearson(sums, np.ones((1, 2)))[0])


def test_a_document_is_drawn_as_a_whole() -> None:
    documents = np.array([7, 3, 7, 5, 3])
    weights = numbers.document_weights(documents, seed=0, n_replicates=101)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert (weights == numbers.document_weights(documents, seed=0, n_replicates=101)).all()


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    rng = np.random.default_rng(1)
    values = rng.random(200)
    found = numbers.estimate(numbers.mean(values, numbers.document_weights(np.arange(200), seed=0)))
    error = values.std() / math.sqrt(200)
    assert found.value == pytest.approx(values.mean())
    # 1,000 replicates give a standard deviation to 1 / sqrt(2,000) = 2 %; five of them
    assert found.standard_error == pytest.approx(error, rel=0.12)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_excerpts_of_one_document_have_no_interval() -> None:
    found = numbers.estimate(numbers.mean(SAYS, numbers.document_weights(np.zeros(5, dtype=np.int64), seed=0)))
    assert found == (0.4, None, None, None)
