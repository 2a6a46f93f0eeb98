"""Latents are chosen by signed scores on the training side, k-sparse probes are scikit-learn's, splits those of the original."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from safetensors.torch import load_file, save
from sklearn.linear_model import LogisticRegression

from monoseme.core.errors import ArtifactDamagedError, ConfigError
from monoseme.evaluation._probes import class_contrasts
from monoseme.probes import (
    LinearProbe,
    ProbeTraining,
    SavedProbe,
    cosines,
    fit_sparse,
    l1_weights,
    load_probe,
    main_latents,
    mean_differences,
    one_hot,
    probe_bytes,
    save_probe,
    stratified_split,
    top_latents,
)
from monoseme.probes.sparse import columns_of

N, F, CLASSES = 307, 31, ("A", "B", "C")
LABELS = np.random.default_rng(0).choice(CLASSES, size=N)
TRUTH = one_hot(LABELS.tolist(), CLASSES)


def planted() -> sp.csr_array:
    """Latent 3i fires on class i, latent 3i + 1 on all else, latent 30 never, the others anywhere."""
    rng = np.random.default_rng(1)
    codes = rng.uniform(0.5, 1.0, (N, F)) * (rng.uniform(size=(N, F)) < 0.1)
    for i in range(3):
        codes[:, 3 * i] = TRUTH[:, i] * rng.uniform(0.5, 1.0, N)
        codes[:, 3 * i + 1] = ~TRUTH[:, i] * rng.uniform(0.5, 1.0, N)
    codes[:, 30] = 0.0
    return sp.csr_array(codes.astype(np.float32))


def test_an_l1_probe_puts_its_largest_weight_on_the_latent_of_the_class_and_none_on_a_dead_one() -> None:
    found = l1_weights(planted(), TRUTH, CLASSES, settings=ProbeTraining(n_epochs=50, l1=0.01))
    assert top_latents(found, 1).ravel().tolist() == [0, 3, 6]
    assert found.argmin(1).tolist() == [1, 4, 7], "what fires elsewhere has the most negative weight, and is not chosen"
    assert found[:, 30].tolist() == [0.0, 0.0, 0.0]
    with_none = l1_weights(planted(), np.column_stack([TRUTH, np.zeros(N, bool)]), (*CLASSES, "D"))
    assert np.isnan(with_none[3]).all()
    assert np.isfinite(with_none[:3]).all()


def test_top_latents_are_signed_and_ties_go_to_the_lower_number() -> None:
    assert top_latents(np.array([[-9.0, 1.0, 3.0, 1.0]]), 3).tolist() == [[2, 1, 3]]
    assert top_latents(np.array([[0.0, 1.0]]), 5).tolist() == [[1, 0]]


def test_differences_of_means_are_of_the_rows_asked_for() -> None:
    rows = np.arange(0, N, 3)
    labels = TRUTH.argmax(1)
    wanted = class_contrasts(sp.csr_matrix(planted()[rows]), labels[rows], 3)
    np.testing.assert_allclose(mean_differences(planted(), TRUTH, rows=rows), wanted, atol=1e-7)
    empty = mean_differences(planted(), np.column_stack([TRUTH, np.zeros(N, bool)]))
    assert np.isnan(empty[3]).all()


def test_cosines_do_not_mind_lengths() -> None:
    probe = LinearProbe(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.zeros(2), ("A", "B"))
    found = cosines(probe, np.array([[30.0, 40.0], [-4.0, 3.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], atol=1e-7)


@pytest.mark.parametrize("zero_bias", [False, True])
def test_a_sparse_probe_is_the_balanced_logistic_regression_of_its_latents(zero_bias: bool) -> None:
    columns = columns_of(planted(), [3, 17])
    found = fit_sparse(columns, TRUTH[:, 1], [3, 17], zero_bias=zero_bias)
    twin = LogisticRegression(max_iter=500, class_weight="balanced", fit_intercept=not zero_bias).fit(columns, TRUTH[:, 1])
    np.testing.assert_allclose(found.score(columns), twin.decision_function(columns), rtol=1e-9)
    assert found.latents == (3, 17)
    assert found.converged
    silent = found.score(np.zeros((1, 2)))[0]
    assert (silent == 0.0) if zero_bias else (silent < 0)
    with pytest.raises(ConfigError, match="0 of 307 training examples"):
        fit_sparse(columns, np.zeros(N, bool), [3, 17])


def test_the_original_counts_as_many_split_latents(shared: Path) -> None:
    held = load_file(shared / "vectors" / "sae_spelling.safetensors")
    order = held["splitting.feats_order"].tolist()
    jump = float(held["splitting.f1_jump_threshold"])
    found = [main_latents(f1s.tolist(), order, jump=jump) for f1s in held["splitting.f1"]]
    assert [split.n_splits for split in found] == held["splitting.num_split_features"].tolist()
    assert all(split.latents == tuple(order[: split.n_splits + 1]) for split in found)


def test_the_first_jump_that_is_too_small_ends_the_search() -> None:
    order = (9, 4, 7, 1)
    assert main_latents([0.0, 0.5, 0.7, 0.7], order).latents == (9, 4, 7)
    assert main_latents([0.5, 0.53, 0.9, 0.9], order).latents == (9,), "0.03 is not more than 0.03"
    assert main_latents([0.5, 0.5301, 0.9, 0.9], order).latents == (9, 4, 7)
    assert main_latents([0.5, 0.4, 0.55, 0.9], order).latents == (9,)
    assert main_latents([0.2, 0.5, None], order).latents == (9, 4)
    assert main_latents([0.1, 0.2, 0.3, 0.4, 0.5], order[:2]).latents == (9, 4)
    assert (main_latents([], order).latents, main_latents([], order).n_splits) == ((), 0)


def test_a_saved_probe_comes_back_with_its_split_and_its_training(tmp_path: Path) -> None:
    probe = LinearProbe(torch.randn(2, 5), torch.randn(2), ("A", "B"), torch.randn(2), {"X": "no word of it"})
    saved = SavedProbe(probe, stratified_split(LABELS, seed=7), ProbeTraining(n_epochs=3, seed=5))
    save_probe(tmp_path / "probe.safetensors", saved)
    found = load_probe(tmp_path / "probe.safetensors")
    assert torch.equal(found.probe.weight, probe.weight)
    assert torch.equal(found.probe.log_balance, probe.log_balance)  # type: ignore[arg-type]
    assert (found.probe.classes, dict(found.probe.left_out)) == (("A", "B"), {"X": "no word of it"})
    assert (found.split.seed, found.split.test_fraction, found.training) == (7, 0.2, saved.training)
    assert np.array_equal(found.split.is_test, saved.split.is_test)
    assert probe_bytes(saved) == probe_bytes(found)
    assert load_probe_without_balance(tmp_path, saved).probe.log_balance is None
    (tmp_path / "probe.safetensors").write_bytes(probe_bytes(saved)[:90])
    with pytest.raises(ArtifactDamagedError, match="train the probe again"):
        load_probe(tmp_path / "probe.safetensors")


@pytest.mark.parametrize("wrong", ["weight", "bias", "is_test"])
def test_a_probe_of_wrong_shapes_is_refused(tmp_path: Path, wrong: str) -> None:
    tensors = {"weight": torch.randn(2, 5), "bias": torch.randn(2), "log_balance": torch.randn(2), "is_test": torch.ones(7) > 0}
    facts = {"classes": ["A", "B"], "left_out": {}, "balanced": True, "training": {}, "split": {"seed": 1, "test_fraction": 0.2}}
    tensors[wrong] = tensors[wrong][None].clone()
    (tmp_path / "probe").write_bytes(save(tensors, metadata={"monoseme": json.dumps(facts)}))
    with pytest.raises(ArtifactDamagedError, match=f"its {wrong} is"):
        load_probe(tmp_path / "probe")


def load_probe_without_balance(folder: Path, saved: SavedProbe) -> SavedProbe:
    plain = LinearProbe(saved.probe.weight, saved.probe.bias, saved.probe.classes)
    save_probe(folder / "plain.safetensors", saved._replace(probe=plain))
    return load_probe(folder / "plain.safetensors")
