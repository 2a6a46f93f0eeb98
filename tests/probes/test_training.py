"""Probes take the steps that their schedule says, from memory, sparse rows, files and streams alike."""

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression

from monoseme.core.errors import ConfigError, TrainingError
from monoseme.probes import ProbeTraining, one_hot, train_binary_probe, train_multi_probe, train_streamed

N, D, CLASSES = 211, 7, ("A", "B", "C")
LABELS = np.random.default_rng(0).choice(CLASSES, size=N, p=[0.6, 0.3, 0.1])
TRUTH = one_hot(LABELS.tolist(), CLASSES)
X = np.random.default_rng(1).normal(size=(N, D)) + 1.5 * TRUTH @ np.eye(3, D)
SOME = ProbeTraining(n_epochs=3, batch_size=50, l1=0.01)


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate_and_the_sign_of_the_balanced_gradient() -> None:
    settings = ProbeTraining(n_epochs=1, batch_size=N, lr=0.25, weight_decay=0.0)
    found = train_multi_probe(X, TRUTH, CLASSES, settings=settings)
    weights = (N - TRUTH.sum(0)) / TRUTH.sum(0)
    slope = np.where(TRUTH, -0.5 * weights, 0.5)  # of the loss with respect to logits of 0
    np.testing.assert_allclose(found.weight, -0.25 * np.sign(slope.T @ X), rtol=1e-3)  # Adam's epsilon beside small slopes


def test_an_epoch_is_a_step_for_each_batch_and_the_rate_falls_by_one_factor() -> None:
    settings = ProbeTraining(n_epochs=4, lr=0.1, last_lr=0.00001)
    assert [settings.lr_of(epoch) for epoch in (0, 1, 4)] == pytest.approx([0.1, 0.01, 0.00001])
    y = np.array([[1]] * 5 + [[0]])
    for batch_size, n_steps in ((6, 4), (3, 8), (1, 24)):
        plain = ProbeTraining(
            n_epochs=4, batch_size=batch_size, lr=1e-3, last_lr=1e-3, optimiser="sgd", weight_decay=0.0, balanced=False
        )
        found = train_multi_probe(np.ones((6, 1)), y, ("a",), settings=plain)
        assert float(found.weight) == pytest.approx(n_steps * 1e-3 * (5 / 6 - 1 / 2), rel=0.02)  # near 0 the slope is constant


def test_a_long_training_ends_at_the_balanced_logistic_regression() -> None:
    settings = ProbeTraining(n_epochs=800, batch_size=N, lr=0.1, weight_decay=0.0)
    found = train_multi_probe(X, TRUTH, CLASSES, settings=settings)
    for i, name in enumerate(CLASSES):
        twin = LogisticRegression(C=1e9, class_weight="balanced", tol=1e-8, max_iter=10_000).fit(X, TRUTH[:, i])
        np.testing.assert_allclose(found.direction(name), twin.coef_[0], atol=1e-3)
        assert float(found.bias[i]) == pytest.approx(float(twin.intercept_[0]), abs=1e-3)


def test_probabilities_are_of_the_classes_frequencies_and_logits_of_even_ones() -> None:
    nothing = np.zeros((N, 1))
    found = train_multi_probe(nothing, TRUTH, CLASSES, settings=ProbeTraining(n_epochs=300, batch_size=N, lr=0.1))
    np.testing.assert_allclose(torch.sigmoid(found.logits(nothing))[0], 0.5, atol=1e-3)
    np.testing.assert_allclose(found.probabilities(nothing)[0], TRUTH.mean(0), atol=1e-3)
    plain = ProbeTraining(n_epochs=300, batch_size=N, lr=0.1, balanced=False)
    unbalanced = train_multi_probe(nothing, TRUTH, CLASSES, settings=plain)
    assert unbalanced.log_balance is None
    np.testing.assert_allclose(torch.sigmoid(unbalanced.logits(nothing))[0], TRUTH.mean(0), atol=1e-3)


def test_sparse_rows_files_and_streams_give_the_probe_that_memory_gives(tmp_path: Path) -> None:
    x = np.where(X > 0.8, X, 0.0)
    wanted = train_multi_probe(x, TRUTH, CLASSES, settings=SOME)
    rows = sp.csr_matrix(x)
    on_disk = np.memmap(tmp_path / "x.dat", dtype=np.float64, mode="w+", shape=x.shape)
    on_disk[:] = x
    whole = ProbeTraining(n_epochs=3, batch_size=N, l1=0.01)
    at_once = train_multi_probe(x, TRUTH, CLASSES, settings=whole)
    others = {
        "tensor": (wanted, train_multi_probe(torch.from_numpy(x), torch.from_numpy(TRUTH), CLASSES, settings=SOME)),
        "file": (wanted, train_multi_probe(on_disk, TRUTH, CLASSES, settings=SOME)),
        "sparse": (wanted, train_multi_probe(rows, TRUTH, CLASSES, settings=SOME)),
        "stream": (at_once, train_streamed(lambda: iter([(x, TRUTH)]), CLASSES, settings=whole)),
        "sparse stream": (at_once, train_streamed(lambda: iter([(rows, TRUTH)]), CLASSES, settings=whole)),
    }
    for name, (one, other) in others.items():
        np.testing.assert_allclose(other.weight, one.weight, rtol=1e-9, atol=1e-12, err_msg=name)  # sums in another order


def test_batches_of_a_stream_are_taken_as_they_come() -> None:
    halves = [(X[:90], TRUTH[:90]), (X[90:], TRUTH[90:])]
    one = train_streamed(lambda: iter(halves), CLASSES, settings=SOME)
    other = train_streamed(lambda: iter([(X, TRUTH)]), CLASSES, settings=SOME)
    assert not torch.equal(one.weight, other.weight)
    assert torch.equal(one.log_balance, other.log_balance), "frequencies are of all batches"  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_order() -> None:
    first, again = (train_multi_probe(X, TRUTH, CLASSES, settings=SOME) for _ in range(2))
    other = train_multi_probe(X, TRUTH, CLASSES, settings=ProbeTraining(n_epochs=3, batch_size=50, l1=0.01, seed=1))
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


def test_only_the_rows_asked_for_are_trained_on() -> None:
    rows = np.arange(0, N, 2)
    poisoned = X.copy()
    poisoned[1::2] = np.nan
    found = train_multi_probe(poisoned, TRUTH, CLASSES, rows=rows, settings=SOME)
    assert torch.equal(found.weight, train_multi_probe(X, TRUTH, CLASSES, rows=rows, settings=SOME).weight)


def test_classes_that_nothing_tells_apart_are_left_out_with_the_reason() -> None:
    y = np.column_stack([TRUTH, np.zeros(N, bool), np.ones(N, bool)])
    found = train_multi_probe(X, y, (*CLASSES, "none", "all"), settings=SOME)
    assert found.classes == CLASSES
    assert found.left_out == {"none": "none of the 211 training examples is of it", "all": "every training example is of it"}
    assert bool(found.weight.isfinite().all())
    with pytest.raises(ConfigError, match='no probe of the class "none": none of the 211'):
        found.direction("none")
    with pytest.raises(ConfigError, match="there are probes of A, B, C"):
        found.index("Q")
    with pytest.raises(ConfigError, match="no class can be probed"):
        train_binary_probe(X, np.zeros(N, bool), settings=SOME)


def test_a_probe_without_bias_keeps_it_at_zero_and_a_feature_that_never_occurs_keeps_no_weight() -> None:
    x = np.column_stack([X, np.zeros(N)])
    settings = ProbeTraining(n_epochs=3, batch_size=50, l1=0.01, zero_bias=True)
    found = train_multi_probe(x, TRUTH, CLASSES, settings=settings)
    assert found.bias.tolist() == [0.0, 0.0, 0.0]
    assert found.weight[:, -1].tolist() == [0.0, 0.0, 0.0]
    assert bool((found.weight[:, :-1] != 0).all())


def test_the_l1_penalty_is_the_mean_over_classes() -> None:
    """A step of plain gradient descent from where the data say nothing: the penalty alone moves the weight, by l1 / C."""
    x = np.ones((4, 1))
    y = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], dtype=bool)
    plain = {"n_epochs": 2, "batch_size": 4, "lr": 0.5, "last_lr": 0.5, "optimiser": "sgd", "weight_decay": 0.0}
    start = train_multi_probe(x, np.array([[1, 1], [1, 1], [1, 1], [0, 0]]), ("a", "b"), settings=_of(plain, balanced=False))
    moved = train_multi_probe(
        x, np.array([[1, 1], [1, 1], [1, 1], [0, 0]]), ("a", "b"), settings=_of(plain, balanced=False, l1=0.2)
    )
    np.testing.assert_allclose(
        start.weight - moved.weight, 0.5 * 0.2 / 2, rtol=1e-9
    )  # the second of two steps alone: |0| is flat
    assert train_multi_probe(x, y, ("a", "b"), settings=_of(plain)).weight.tolist() == [[0.0], [0.0]]


def _of(plain: dict[str, object], **changes: object) -> ProbeTraining:
    return ProbeTraining(**(plain | changes))  # pyright: ignore[reportArgumentType]


def test_what_cannot_be_trained_says_why() -> None:
    with pytest.raises(ConfigError, match=re.escape("y is (211, 3), but there are 211 examples and 2 classes")):
        train_multi_probe(X, TRUTH, ("A", "B"))
    with pytest.raises(TrainingError, match="NaN or infinite"):
        train_multi_probe(np.where(np.arange(N)[:, None] == 3, np.nan, X), TRUTH, CLASSES, settings=SOME)
    used_up = iter([(X, TRUTH)])
    with pytest.raises(TrainingError, match="starts anew each time"):
        train_streamed(lambda: used_up, CLASSES, settings=SOME)
    for wrong in ({"n_epochs": 0}, {"lr": 1e-6}, {"l1": -1.0}):
        with pytest.raises(ConfigError):
            ProbeTraining(**wrong)  # pyright: ignore[reportArgumentType]
