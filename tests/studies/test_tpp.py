"""The study of targeted probe perturbation on the tiny model, and the parts that it shares with `scr`."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from monoseme.core.errors import ConfigError
from monoseme.evaluation._latent_effects import one_against_rest
from monoseme.evaluation._latent_effects_probes import ProbeSchedule
from monoseme.pipeline import RunFolder
from monoseme.studies import STUDIES, run_study
from monoseme.studies._perturbation.ablated import Rival, ablate_directions, ablate_random, ablate_strongest
from monoseme.studies._perturbation.figures import Point, curves
from monoseme.studies._perturbation.trial import Sides, Trial, try_probes
from monoseme.studies._tpp.tables import Overall, finding_of
from monoseme.studies.tpp import TPP

LABELS = np.repeat(np.arange(3), 20)


def _trial() -> tuple[Trial, Rival]:
    """Three classes along three axes, and a latent for each class beside four that fire at random."""
    rng = np.random.default_rng(0)
    x = 2.0 * np.eye(5)[LABELS] + 0.1 * rng.normal(size=(60, 5))
    codes = np.concatenate([2.0 * np.eye(3)[LABELS], rng.random((60, 4)) * (rng.random((60, 4)) < 0.3)], axis=1)
    writes = np.concatenate([np.eye(3, 5), np.eye(4, 5, 1) * 0.01])
    trial = try_probes(
        x,
        Sides(LABELS, np.arange(60), np.arange(60) % 4 == 0),
        lambda rows: one_against_rest(LABELS[rows], ("a", "b", "c")),
        ProbeSchedule(epochs=8, lr=2e-2, batch_size=8),
        n_replicates=20,
        seed=0,
    )
    return trial, Rival("sae", sparse.csr_array(codes), writes)


def test_the_latent_of_a_class_is_its_strongest_and_its_ablation_is_felt_by_its_probe():
    trial, rival = _trial()
    found = ablate_strongest(trial, rival, (1, 2), rule="ours", clamped=True)
    assert [int(each.latents[0]) for each in found] == [0, 1, 2]
    before = trial.probes["ours"].logits(trial.x)
    for c, each in enumerate(found):
        of_class = LABELS[trial.test] == c
        assert (each.logits[0, of_class, c] < before[of_class, c]).all()
        np.testing.assert_array_equal(each.logits[0, ~of_class], before[~of_class])


def test_latents_against_a_class_are_ablated_by_saebenchs_rule_only():
    trial, rival = _trial()
    ours = ablate_strongest(trial, rival, (7,), rule="ours", clamped=True)
    theirs = ablate_strongest(trial, rival, (7,), rule="saebench", clamped=True)
    assert all((each.effects > 0).all() for each in ours)
    assert any((each.effects < 0).any() for each in theirs)


def test_random_latents_are_drawn_for_each_class_by_the_seed():
    trial, rival = _trial()
    one, again, other = (ablate_random(trial, rival, (1,), seed=seed) for seed in (0, 0, 3))
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_a_probe_without_its_direction_says_the_same_of_every_text():
    trial, _ = _trial()
    for c, logits in enumerate(ablate_directions(trial)):
        np.testing.assert_allclose(logits[:, c], logits[0, c], atol=1e-9)


def test_both_sides_are_of_different_texts_and_the_first_weighting_is_the_estimate():
    trial, _ = _trial()
    assert not set(trial.train) & set(trial.test)
    assert (trial.draws[:, 0] == 1).all()
    assert trial.draws.shape == (15, 21)


def test_a_figure_without_a_value_is_left_out():
    assert curves("x", [Point("sae", 2, "score", None, None, None)], title="", caption="") is None


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="rising counts"):
        TPP.Config(sae=("x",), n_latents=(5, 2))
    with pytest.raises(ConfigError, match="n_draws"):
        TPP.Config(sae=("x",), n_draws=0)


def _study(run: RunFolder, corpus: Path, **settings: object) -> TPP:
    from monoseme.text import CorpusConfig

    STUDIES.get("tpp")  # gives it its name
    text = CorpusConfig(source=str(corpus), label_fields=("kind",), context_len=16)
    return TPP(
        TPP.Config(
            sae=(f"{run.path}/saes/topk", f"{run.path}/saes/mlsae"),
            corpus=text,
            label="kind",
            n_train=40,
            n_test=20,
            text_tokens=12,
            least_per_class=8,
            n_latents=(1, 3, 500),
            probe=ProbeSchedule(epochs=3),
            n_draws=2,
            n_replicates=20,
            **settings,  # pyright: ignore
        )
    )


def _corpus(path: Path, n_classes: int) -> Path:
    import json

    words = (("cat", "hills"), ("mat", "one"), ("sun", "two"))[:n_classes]
    rows = [{"text": f" {a} {i} saw the {b} on the {a}", "kind": a} for i in range(20) for a, b in words]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_report_has_every_class_control_and_definition(studied_run: RunFolder, tmp_path: Path):
    study = _study(studied_run, _corpus(tmp_path / "texts.jsonl", 3))
    report = run_study(study, tmp_path / "out", command="monoseme study tpp")
    tables = {name: pq.read_table(report / "tables" / f"{name}.parquet").to_pylist() for name in ("tpp", "classes", "probes")}
    # 24 latents: 500 are left out; of random latents there is no number by SAEBench.
    assert [(row["subject"], row["n_latents"]) for row in tables["tpp"]] == [
        (name, n) for name in ("topk", "random dictionary", "random latents of the SAEs") for n in (1, 3)
    ]
    assert [row["tpp_as_saebench"] is None for row in tables["tpp"]] == [False] * 4 + [True] * 2
    for row in tables["tpp"]:
        assert row["tpp"] == pytest.approx(row["intended"] - row["unintended"])
    of_topk = [row["tpp"] for row in tables["classes"] if row["subject"] == "topk" and row["n_latents"] == 1]
    assert np.mean(of_topk) == pytest.approx(tables["tpp"][0]["tpp"])
    assert {row["probe"] for row in tables["probes"]} == {"cat", "mat", "sun"}
    assert "mlsae is left out" in (report / "index.md").read_text()


def test_two_classes_are_refused_because_their_probes_are_one(studied_run: RunFolder, tmp_path: Path):
    study = _study(studied_run, _corpus(tmp_path / "texts.jsonl", 2))
    with pytest.raises(ConfigError, match="TPP needs 3"):
        study.investigate(tmp_path / "work")


def test_an_sae_is_held_against_the_random_directions_of_its_own_site() -> None:
    def of(subject: str, site: str, score: float) -> Overall:
        values = np.full(3, score)
        return Overall(subject, subject.startswith("random"), 2, site, values, values, values, values, n_datasets=1)

    made = [
        of("a", "mlp_out.1", 0.5),
        of("random (1)", "mlp_out.1", 0.125),
        of("b", "mlp_out.2", 0.5),
        of("random (2)", "mlp_out.2", 0.25),
    ]
    told = [comparison.numbers for comparison in finding_of(made).comparisons]
    assert ["0.500 less 0.125" in told[0], "0.500 less 0.250" in told[1]] == [True, True]
