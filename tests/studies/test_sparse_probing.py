"""Probes of few features: which are chosen, what a unit changes, and a study of two SAEs from end to end."""

import json
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from monoseme.evaluation._latent_effects_probes import ProbeSchedule
from monoseme.evaluation.formats import read_saebench
from monoseme.models import ModelConfig
from monoseme.pipeline import RunFolder
from monoseme.studies import STUDIES
from monoseme.studies._sparse_probing.full import full_probes
from monoseme.studies._sparse_probing.probes import Sample, few_features, sample, telling
from monoseme.studies._sparse_probing.tables import OVERALL
from monoseme.studies.sparse_probing import SparseProbing
from monoseme.text import CorpusConfig


def _sample(labels: np.ndarray) -> Sample:
    rows = np.arange(len(labels))
    return Sample(rows, labels == 1, rows % 3 == 0)


def test_half_of_a_sample_is_of_the_class_and_the_others_take_turns() -> None:
    labels = np.repeat([0, 1, 2, 3], [20, 3, 9, 30])
    test = np.arange(62) % 2 == 0
    found = sample(labels, 0, test, n_train=16, n_test=6, rng=np.random.default_rng(0))
    for side, n in ((~found.is_test, 8), (found.is_test, 3)):
        others = labels[found.rows[side & ~found.is_positive]]
        assert int((side & found.is_positive).sum()) == len(others) == n
    train = labels[found.rows[~found.is_test & ~found.is_positive]]
    # Class 1 has one or two training texts and gives what it has; the two others share the rest.
    assert sorted(np.bincount(train, minlength=4)[2:].tolist()) == [3, 4] or np.bincount(train, minlength=4)[1] == 2


def test_fewer_others_than_of_the_class_leave_both_sides_alike() -> None:
    labels = np.repeat([0, 1], [20, 4])
    found = sample(labels, 0, np.arange(24) % 2 == 0, n_train=16, n_test=16, rng=np.random.default_rng(0))
    assert int(found.is_positive.sum()) * 2 == len(found.rows)


def test_saebench_prefers_features_of_large_values_and_we_do_not() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) // 3 % 2
    loud = 100 * rng.random(60) + 10 * labels
    quiet = labels + 0.1 * rng.random(60)
    x = sp.csr_matrix(np.stack([loud, quiet, np.ones(60)], axis=1))
    found = telling(x, _sample(labels))
    assert found.scaled.tolist()[0] == 1
    assert found.raw.tolist()[0] == 0
    assert found.differences[2] == 0
    said = few_features(x, _sample(labels), 1, found)
    assert said.right.all()
    assert not said.as_saebench.all()


def test_features_of_the_test_side_choose_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(61) // 3 % 2
    x = rng.random((61, 5))
    of = _sample(labels)
    changed = x.copy()
    changed[of.is_test] *= 1000
    assert telling(x, of).scaled.tolist() == telling(changed, of).scaled.tolist()


def test_a_probe_of_all_features_is_no_better_on_the_test_than_its_best_epoch() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(90) // 3 % 2
    x = rng.normal(size=(90, 7)) + 0.5 * labels[:, None]
    schedule = ProbeSchedule(epochs=6, lr=1e-2, l1=0.0, batch_size=16)
    found = full_probes(x, [_sample(labels)], labels=labels, schedule=schedule)
    assert found is not None
    assert found[0].right.sum() <= found[0].as_saebench.sum()


def test_a_study_of_two_saes_from_end_to_end(studied_run: RunFolder, corpus_file: Path, tmp_path: Path) -> None:
    config = SparseProbing.Config(
        sae=tuple(str(studied_run.path / "saes" / name) for name in ("topk", "tsae")),
        model=ModelConfig(model="run"),
        corpus=CorpusConfig(source=str(corpus_file), context_len=16),
        label="domain",
        n_train=60,
        n_test=30,
        text_tokens=16,
        least_per_class=5,
        n_features=(1, 2),
        epochs=3,
        n_seeds=2,
        n_replicates=20,
    )
    found = STUDIES.get("sparse_probing")(config).investigate(tmp_path)
    rows = found.tables["accuracy"]
    assert {row["subject"] for row in rows} == {"topk", "tsae", "activations", "PCA"}
    assert {row["features"] for row in rows} == {"1", "2", "all"}
    assert OVERALL not in {row["dataset"] for row in rows}
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    result = read_saebench(found.files["sparse_probing_monoseme_topk_eval_results.json"])
    (one,) = (row for row in rows if row["subject"] == "topk" and row["features"] == "1")
    assert result.metrics["sae"]["sae_top_1_test_accuracy"] == one["as_saebench"]
    kept = next(tmp_path.glob("*.json"))
    assert json.loads(kept.read_text())["classes"] == ["cat", "dog"]
    again = STUDIES.get("sparse_probing")(config).investigate(tmp_path)
    assert again.tables["accuracy"] == rows
