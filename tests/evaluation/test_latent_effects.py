"""Effects of latents on probes, ablations without a model, TPP and SCR: hand-worked cases, planted dictionaries, slow twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from monoseme.core.errors import ConfigError
from monoseme.evaluation._latent_effects import (
    ablated_logits,
    effects_of,
    mean_differences,
    one_against_rest,
    strongest,
    two_attributes,
    without_direction,
)
from monoseme.evaluation._latent_effects_probes import ProbePath, ProbeSchedule, held_back, train_probes
from monoseme.evaluation._latent_effects_scores import accuracies, headline, perturbation, removal

CLASSES = ("a", "b", "c")
LABELS = np.array([0, 1, 1, 2, 2, 2, 0, 1, 2, 2])
"""Two, three and five examples."""


def test_each_side_of_a_probe_has_half_the_weight_and_each_other_class_the_same():
    found = one_against_rest(LABELS, CLASSES)
    for p in range(3):
        assert found.weights[found.is_positive[:, p], p].sum() == pytest.approx(0.5)
        for other in {0, 1, 2} - {p}:
            assert found.weights[other == LABELS, p].sum() == pytest.approx(0.25)


def test_with_two_attributes_every_combination_counts_alike_and_the_biased_probe_knows_two_of_them():
    first = np.array([1, 1, 1, 0, 0, 1, 0], dtype=bool)
    second = np.array([1, 1, 0, 1, 0, 1, 0], dtype=bool)
    found = two_attributes(first, second, ("first", "second", "both"))
    for a, b in ((False, False), (False, True), (True, False), (True, True)):
        cell = (first == a) & (second == b)
        assert found.weights[cell].sum(0) == pytest.approx([0.25, 0.25, 0.5 if a == b else 0.0])
    assert found.is_positive[:, 2].tolist() == (first & second).tolist()


def test_mean_differences_are_those_of_weighted_means():
    rng = np.random.default_rng(0)
    dense = rng.random((10, 7)) * (rng.random((10, 7)) < 0.4)
    found = mean_differences(sparse.csr_array(dense), one_against_rest(LABELS, CLASSES))
    for p in range(3):
        rest = np.mean([dense[other == LABELS].mean(0) for other in range(3) if other != p], axis=0)
        assert found[p] == pytest.approx(dense[p == LABELS].mean(0) - rest)


def test_tpp_counts_latents_that_are_higher_in_the_class_and_scr_only_sizes():
    differences, pulls = np.array([[2.0, -2.0, 1.0, 0.0]]), np.array([[1.0, -3.0, -1.0, 5.0]])
    assert effects_of(differences, pulls, clamped=True).tolist() == [[2.0, 0.0, -1.0, 0.0]]
    assert effects_of(differences, pulls, clamped=False).tolist() == [[2.0, 6.0, 1.0, 0.0]]


def test_ties_go_to_the_lower_number_and_what_has_no_effect_is_never_chosen():
    effects = np.array([0.0, 2.0, 3.0, 2.0, -1.0, 0.0])
    assert strongest(effects, 2).tolist() == [2, 1]
    assert strongest(effects, 6).tolist() == [2, 1, 3]
    assert strongest(effects, 6, chosen="nonzero").tolist() == [2, 1, 3, 4]


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 11), min_size=1, max_size=3, unique=True).map(sorted))
def test_logits_of_ablated_means_are_those_of_decoding_every_token_again(seed: int, counts: list[int]):
    rng = np.random.default_rng(seed)
    n_examples, n_tokens, n_latents, d, n_probes = 3, 5, 11, 7, 2
    codes = rng.random((n_examples, n_tokens, n_latents)) * (rng.random((n_examples, n_tokens, n_latents)) < 0.5)
    w_dec, error = rng.normal(size=(n_latents, d)), rng.normal(size=(n_examples, n_tokens, d))
    probes, latents = rng.normal(size=(n_probes, d)), rng.permutation(n_latents)[:9]
    logits = (codes @ w_dec + error).mean(1) @ probes.T
    pulls = probes @ w_dec.T
    found = ablated_logits(logits, sparse.csr_array(codes.mean(1)), pulls, latents, counts)
    for n, each in zip(counts, found, strict=True):
        left = codes.copy()
        left[:, :, latents[:n]] = 0.0
        np.testing.assert_allclose(each, (left @ w_dec + error).mean(1) @ probes.T, atol=1e-12)


def test_a_direction_taken_out_leaves_every_example_at_the_centre_along_it():
    rng = np.random.default_rng(1)
    x, direction, centre = rng.normal(size=(5, 7)), rng.normal(size=7), rng.normal(size=7)
    left = without_direction(x, direction, centre)
    np.testing.assert_allclose(left @ direction, np.full(5, centre @ direction), atol=1e-12)
    other = np.linalg.svd(direction[None])[2][1:]
    np.testing.assert_allclose(left @ other.T, x @ other.T, atol=1e-12)


def test_accuracy_is_a_share_of_weight_and_missing_where_there_is_none():
    logits, truth = np.array([1.0, -1.0, 0.0, 2.0]), np.array([True, True, False, False])
    weights = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]])
    found = accuracies(logits, truth, weights)
    assert found[0] == pytest.approx(0.4)  # the first and the third are right: (1 + 3) / 10
    assert np.isnan(found[1])


def test_perturbation_of_three_classes_by_hand():
    clean = np.array([0.9, 0.8, 1.0])
    ablated = np.array([[[0.5, 0.8, 0.9]], [[0.9, 0.6, 0.8]], [[0.9, 0.8, 1.0]]])  # [class, one count, probe]
    found = perturbation(clean, ablated)
    assert found.intended[:, 0] == pytest.approx([0.4, 0.2, 0.0])
    assert found.unintended[:, 0] == pytest.approx([0.05, 0.1, 0.0])
    assert found.tpp.mean() == pytest.approx((0.35 + 0.1 + 0.0) / 3)


def test_scr_is_the_share_won_back_and_missing_where_nothing_was_lost():
    found = removal(np.array([0.8, 0.5, 0.9, 0.7]), np.array([0.6, 0.6, 0.9, 0.75]), np.array([1.0, 1.0, 0.9005, 0.7]))
    assert found[:2] == pytest.approx([0.5, -0.25])
    assert np.isnan(found[2:]).all()


def test_the_headline_is_the_direction_that_was_worse_before_and_the_mean_in_a_tie():
    directions = np.array([[0.2, 0.3], [0.6, 0.9]])
    assert headline(directions, np.array([0.5, 0.7])).tolist() == [0.2, 0.3]
    assert headline(directions, np.array([0.7, 0.5])).tolist() == [0.6, 0.9]
    assert headline(directions, np.array([0.5, 0.5])) == pytest.approx([0.4, 0.6])


def _classes(n_each: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Examples [E, 7] that hold 2 along the axis of their class, and a little noise; and their class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), n_each)
    return 2.0 * np.eye(7)[labels] + 0.05 * rng.normal(size=(len(labels), 7)), labels


SCHEDULE = ProbeSchedule(epochs=20, lr=2e-2, batch_size=10)


def _tpp(w_dec: np.ndarray, codes: np.ndarray, x: np.ndarray, labels: np.ndarray, counts: list[int]) -> np.ndarray:
    """TPP at each count: probes trained on x, latents chosen and measured on the same examples."""
    n_classes = int(labels.max()) + 1
    contrasts = one_against_rest(labels, "abcd"[:n_classes])
    path = train_probes(x, contrasts, SCHEDULE)
    weights, biases = path.at(path.least_loss(x, contrasts))
    logits, pulls = x @ weights.T + biases, weights @ w_dec.T
    effects = effects_of(mean_differences(sparse.csr_array(codes), contrasts), pulls, clamped=True)

    def scored(found: np.ndarray) -> np.ndarray:
        return np.stack(
            [accuracies(found[..., p], contrasts.is_positive[:, p], contrasts.weights[:, [p]]) for p in range(n_classes)], -2
        )

    ablated = [ablated_logits(logits, sparse.csr_array(codes), pulls, strongest(e, max(counts)), counts) for e in effects]
    return perturbation(scored(logits), np.stack([scored(each) for each in ablated])).tpp.mean(0)[:, 0]


def test_a_latent_for_each_class_gives_the_tpp_that_is_known():
    # A class without its latent looks like the class that has none. Its own probe falls from 1 to 1/2; so does, by a third of a
    # half, the probe of that other class, for which no latent stands: (1/2 - 1/6 / 3) of three classes in four, and 0 in one.
    x, labels = _classes(20, seed=0)
    x, labels = np.concatenate([x, x[:20] - 2.0 * np.eye(7)[0]]), np.concatenate([labels, np.full(20, 3)])
    codes = 2.0 * np.eye(4)[labels][:, :3]
    assert _tpp(np.eye(3, 7), codes, x, labels, [1, 2]) == pytest.approx([1 / 3, 1 / 3])


def test_latents_that_know_nothing_of_the_classes_give_a_tpp_of_about_nothing():
    x, labels = _classes(40, seed=1)
    rng = np.random.default_rng(2)
    codes = rng.random((len(labels), 31)) * (rng.random((len(labels), 31)) < 0.2)
    w_dec = rng.normal(size=(31, 7)) / np.sqrt(7)
    assert abs(_tpp(w_dec, codes, x, labels, [2])[0]) < 0.05


def test_one_latent_for_two_classes_gives_less_than_one_for_each():
    x, labels = _classes(20, seed=3)
    shared = np.stack([np.where(labels < 2, 2.0, 0.0), np.where(labels == 2, 2.0, 0.0)], axis=1)
    w_dec = np.zeros((2, 7))
    w_dec[0, :2], w_dec[1, 2] = 0.5, 1.0
    assert _tpp(w_dec, shared, x, labels, [1])[0] < 0.45


def test_removing_the_spurious_attributes_latents_wins_all_of_the_accuracy_back():
    # The biased probe weighs the second attribute twice, and so tells the first only where both agree: 1/2.
    first, second = np.array([0, 0, 1, 1] * 5, dtype=bool), np.array([0, 1, 0, 1] * 5, dtype=bool)
    x = np.stack([np.where(first, 1.0, -1.0), np.where(second, 1.0, -1.0)], 1)
    codes = sparse.csr_array(np.stack([first, ~first, second, ~second], axis=1).astype(float))
    w_dec = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
    contrasts = two_attributes(first, second, ("first", "second", "both"))
    pulls, logits = weights @ w_dec.T, x @ weights.T
    effects = effects_of(mean_differences(codes, contrasts), pulls, clamped=False)
    latents = strongest(effects[1], 2)
    assert latents.tolist() == [2, 3]
    changed = ablated_logits(logits, codes, pulls, latents, [1, 2])[:, :, 2]
    told = [accuracies(each, first, contrasts.weights[:, :1])[..., 0] for each in (changed, logits[:, 2], logits[:, 0])]
    assert told[1] == pytest.approx(0.5)
    assert removal(*told) == pytest.approx([0.5, 1.0])  # one latent of the two mends the half of the examples that has it


def test_probes_of_one_seed_are_the_same_bits():
    x, labels = _classes(10, seed=5)
    contrasts = one_against_rest(labels, CLASSES)
    first, again = (train_probes(x, contrasts, SCHEDULE) for _ in range(2))
    assert (first.weights == again.weights).all()
    assert (first.biases == again.biases).all()
    other = train_probes(x, contrasts, ProbeSchedule(epochs=20, lr=2e-2, batch_size=10, seed=1))
    assert (first.weights != other.weights).any()


def test_an_epoch_is_chosen_by_the_loss_or_as_the_first_of_the_most_accurate():
    contrasts = one_against_rest(np.array([0, 0, 1, 1]), ("a", "b"))
    x = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    weights = np.array([[[-1.0], [1.0]], [[0.1], [-0.1]], [[2.0], [-3.0]], [[1.0], [-4.0]]])  # [epoch, probe, width]
    path = ProbePath(weights, np.zeros((4, 2)))
    assert path.most_accurate(x, contrasts).tolist() == [1, 1]
    assert path.least_loss(x, contrasts).tolist() == [2, 3]
    chosen, _ = path.at(np.array([2, 3]))
    assert chosen.tolist() == [[2.0], [-4.0]]


def test_an_example_without_weight_moves_no_probe():
    x, labels = _classes(10, seed=6)
    contrasts = one_against_rest(labels, CLASSES)
    contrasts.weights[::3] = 0.0
    moved = x.copy()
    moved[::3] += 100.0
    one, two = train_probes(x, contrasts, SCHEDULE), train_probes(moved, contrasts, SCHEDULE)
    np.testing.assert_array_equal(one.weights, two.weights)


def test_every_class_has_examples_on_both_sides_of_what_is_held_back():
    chosen = held_back(LABELS, ProbeSchedule(validation_fraction=0.2))
    for label in range(3):
        assert 0 < chosen[label == LABELS].sum() < (label == LABELS).sum()
    assert not held_back(np.array([0, 0, 1]), ProbeSchedule())[2]


def test_schedules_out_of_range_and_empty_sides_are_refused():
    with pytest.raises(ConfigError, match="validation_fraction is 1"):
        ProbeSchedule(validation_fraction=1.0)
    with pytest.raises(ConfigError, match="epochs"):
        ProbeSchedule(epochs=0)
    with pytest.raises(ConfigError, match="no example"):
        train_probes(np.zeros((0, 3)), one_against_rest(np.zeros(0, dtype=np.int64), CLASSES), SCHEDULE)
