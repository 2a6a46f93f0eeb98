"""Scores agree with scikit-learn's, calibration with numbers worked by hand, splits keep every class on both sides."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, f1_score, precision_score, recall_score, roc_auc_score

from monoseme.core.errors import ConfigError
from monoseme.probes import LinearProbe, held_out, one_hot, reliability, scores_of, stratified_split
from monoseme.probes.scores import brier_score, expected_calibration_error


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
def test_scores_are_those_of_scikit_learn(drawn: list[tuple[int, bool]]) -> None:
    score, truth = np.array([s for s, _ in drawn], dtype=np.float64), np.array([t for _, t in drawn])
    found = scores_of(score, truth, "A", probability=1 / (1 + np.exp(-score)))
    said = score > 0
    assert (found.n, found.n_positive) == (len(truth), truth.sum())
    assert found.brier == pytest.approx(brier_score_loss(truth, 1 / (1 + np.exp(-score)), pos_label=True))
    if not truth.any():
        assert (found.f1, found.recall, found.auroc) == (None, None, None)
        return
    assert found.f1 == pytest.approx(f1_score(truth, said, zero_division=0.0))
    assert found.recall == pytest.approx(recall_score(truth, said))
    assert found.precision == (pytest.approx(precision_score(truth, said)) if said.any() else None)
    assert found.auroc == (None if truth.all() else pytest.approx(roc_auc_score(truth, score)))
    assert (found.why_missing is None) == (not truth.all())


def test_a_logit_of_zero_is_no_and_the_smallest_above_it_yes() -> None:
    found = scores_of(np.array([0.0, 5e-324, -1.0]), np.array([True, True, False]), "A")
    assert (found.recall, found.precision) == (0.5, 1.0)


def test_calibration_by_hand() -> None:
    probability = np.array([0.05, 0.05, 0.09, 0.62, 0.66, 1.0])
    truth = np.array([False, False, True, True, False, True])
    table = reliability(probability, truth, n_bins=10)
    assert [(b.low, b.n) for b in table if b.n] == [(0.0, 3), (0.6, 2), (0.9, 1)]
    assert table[0].mean_probability == pytest.approx(0.19 / 3)
    assert table[0].share_positive == pytest.approx(1 / 3)
    assert (table[1].mean_probability, table[1].share_positive) == (None, None)
    wanted = (abs(0.19 - 1) + abs(1.28 - 1) + 0.0) / 6
    assert expected_calibration_error(probability, truth, n_bins=10) == pytest.approx(wanted)
    assert expected_calibration_error(probability, truth, n_bins=1) == pytest.approx(abs(2.47 - 3) / 6)
    assert brier_score(np.array([0.5, 1.0]), np.array([True, False])) == pytest.approx((0.25 + 1.0) / 2)


def test_held_out_scores_are_of_the_rows_asked_for_with_probabilities_of_the_training_frequencies() -> None:
    probe = LinearProbe(torch.tensor([[2.0]]), torch.tensor([0.0]), ("B",), torch.log(torch.tensor([3.0])))
    x = np.array([[1.0], [-1.0], [np.nan], [1.0]], dtype=np.float32)
    y = one_hot(["B", "A", "B", "A"], ("A", "B"))
    (found,) = held_out(probe, x, y, ("A", "B"), rows=np.array([0, 1, 3]))
    assert (found.name, found.n, found.n_positive, found.precision, found.recall) == ("B", 3, 1, 0.5, 1.0)
    yes, no = 1 / (1 + 3 * np.exp(-2)), 1 / (1 + 3 * np.exp(2))
    assert found.brier == pytest.approx(((1 - yes) ** 2 + no**2 + yes**2) / 3, rel=1e-6)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=120), st.floats(0.05, 0.95), st.integers(0, 9))
def test_a_split_takes_its_share_of_every_class(labels: list[int], fraction: float, seed: int) -> None:
    found = stratified_split(labels, test_fraction=fraction, seed=seed)
    assert np.array_equal(found.is_test, stratified_split(labels, test_fraction=fraction, seed=seed).is_test)
    assert sorted([*found.train, *found.test]) == list(range(len(labels)))
    for label in set(labels):
        of_class = found.is_test[np.array(labels) == label]
        if len(of_class) == 1:
            assert not of_class.any()
        else:
            assert 1 <= of_class.sum() <= len(of_class) - 1
            assert abs(of_class.sum() - fraction * len(of_class)) <= 1


def test_a_split_says_what_share_it_takes() -> None:
    with pytest.raises(ConfigError, match=r"test_fraction is 1\.0"):
        stratified_split(["a"], test_fraction=1.0)
    assert one_hot(["b", "z", "a"], ("a", "b")).tolist() == [[False, True], [False, False], [True, False]]
