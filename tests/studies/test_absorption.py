"""The study of absorption: what is planted is found with trained probes, and every SAE stands beside its controls."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from monoseme.evaluation import DocumentWeights
from monoseme.evaluation._absorption_rates import OverLetters
from monoseme.evaluation.formats import read_saebench
from monoseme.models import ModelConfig, Site
from monoseme.probes import ProbeTraining, Split, held_out, one_hot, train_multi_probe
from monoseme.reports.figures import Figure
from monoseme.saes import save_sae
from monoseme.saes.topk import TopK
from monoseme.studies import STUDIES
from monoseme.studies._absorption.dictionaries import Entry, sizes_of
from monoseme.studies._absorption.figures import rates_over
from monoseme.studies._absorption.findings import Measured, differences, findings_of
from monoseme.studies._absorption.judged import Ablate, Judged, JudgeSettings, judge
from monoseme.studies._absorption.letters import Dictionary, Words
from monoseme.studies._absorption.rates import MEASURES, Rates, Trust, rates_of
from monoseme.studies._base import StudyResult
from monoseme.studies._first_letter.config import FirstLetterConfig
from monoseme.studies._first_letter.latent_probes import Labelled, probe_latents
from monoseme.studies.absorption import Absorption
from monoseme.testing.absorbed import PlantedAbsorption, planted_absorption

SITE = Site("resid_post", 1)


@functools.cache
def planted_words() -> Words:
    """Half of each letter's words are for the test, among them all that are absorbed: no word is on both sides.

    Activations are the same whoever absorbs what.
    """
    planted = planted_absorption()
    is_test = np.array([int(word[1:]) < 3 for word in planted.words])
    x, classes = planted.x.float(), tuple(sorted(set(planted.letters)))
    probe = train_multi_probe(x, one_hot(planted.letters, classes), classes, rows=np.flatnonzero(~is_test))
    scores = tuple(held_out(probe, x, one_hot(planted.letters, classes), classes, rows=np.flatnonzero(is_test)))
    return Words(planted.words, planted.letters, planted.words, is_test, x, probe, scores)


def ablate_of(planted: PlantedAbsorption) -> Ablate:
    return lambda letter, rows: planted.ablation_scores(letter)[torch.from_numpy(rows)]


def judged_of(planted: PlantedAbsorption, **settings: Any) -> tuple[Words, Judged]:
    words = planted_words()
    codes, classes = sp.csr_array(planted.codes.numpy()), words.probe.classes
    data = Labelled(codes, one_hot(planted.letters, classes), classes, Split(words.is_test, seed=0, test_fraction=0.5))
    probes = probe_latents(data, FirstLetterConfig(ks=(1, 2, 3, 4)), probe=words.probe)
    dictionary = Dictionary("planted", SITE, codes, planted.writes, probes)
    return words, judge(dictionary, words, JudgeSettings(**settings), ablate=ablate_of(planted))


def rates(judged: Judged) -> Rates:
    return rates_of(judged, DocumentWeights(n_replicates=50, seed=1), Trust(0.6, 5), measures=tuple(MEASURES))


def test_planted_absorption_is_found_with_trained_probes():
    planted = planted_absorption()
    _, judged = judged_of(planted)
    found = {row["letter"]: row for row in rates(judged).letters}
    rate = 35 / 60
    assert found["S"]["main_latents"] == json.dumps([planted.letter_latents["S"]])
    assert found["S"]["probe_f1"] == 1.0
    for measure in ("absorption_rate", "full_absorption", "absorption_fraction"):
        assert found["S"][measure] == pytest.approx(rate), measure
        assert found["S"][f"{measure}_low"] < rate < found["S"][f"{measure}_high"]
        assert rates(judged).over[measure].mean == pytest.approx(rate / 5)
    for letter in "AEIO":
        assert {found[letter][measure] for measure in MEASURES} == {0.0}
    absorbed = {row["token"]: row["top_ablation_feat"] for row in judged.ablations if row["is_absorption"]}
    assert absorbed == dict(planted.absorbers)


def test_a_dictionary_without_absorption_has_none():
    _, judged = judged_of(planted_absorption({}))
    found = rates(judged)
    assert {measure: over.mean for measure, over in found.over.items()} == dict.fromkeys(MEASURES, 0.0)
    assert not judged.ablations  # no word is missed, so none is a candidate


def test_partial_absorption_is_no_absorption():
    planted = planted_absorption({"S0": 1.0}, strength=0.75)
    _, judged = judged_of(planted)
    found = next(row for row in rates(judged).letters if row["letter"] == "S")
    assert (found["full_absorption"], found["absorption_rate"]) == (0.0, 0.0)
    assert found["absorption_fraction"] == pytest.approx(
        0.75 / 3, abs=0.01
    )  # of a third of the words; the trained probe looks a little aside
    assert found["partial_absorption"] == pytest.approx(1 / 3)


def test_of_many_candidates_a_sample_is_ablated_and_the_others_are_taken_to_be_like_it():
    _, judged = judged_of(planted_absorption({"S0": 1.0}), most_words=5)
    found = next(row for row in rates(judged).letters if row["letter"] == "S")
    assert (found["n_ablated"], found["sample_portion"]) == (5, 0.25)
    assert found["absorption_rate"] == pytest.approx(1 / 3)
    assert sum(row["is_absorption"] is not None for row in judged.words if row["letter"] == "S") == 5


def test_the_originals_columns_are_there():
    _, judged = judged_of(planted_absorption())
    row = next(row for row in judged.ablations if row["is_absorption"])
    assert {
        "letter", "token", "prompt", "sample_portion", "num_probe_true_positives", "split_feats", "split_feat_acts",
        "split_feat_probe_cos", "top_ablation_feat", "top_ablation_score", "top_ablation_feat_probe_cos",
        "second_ablation_feat", "second_ablation_score", "second_ablation_feat_probe_cos", "ablation_scores", "ablation_feats",
        "ablation_feat_acts", "ablation_feat_probe_cos", "is_absorption",
    } < set(row)  # fmt: skip
    assert json.loads(row["ablation_feats"])[:2] == [row["top_ablation_feat"], row["second_ablation_feat"]]
    assert json.loads(row["split_feat_acts"]) == [0.0]


def test_controls_stand_for_saes_of_about_their_size():
    def entry(width: int, l0: float) -> Entry:
        return Entry("", "topk", False, TopK(TopK.Config(n_latents=7, d_in=5, k=2)), SITE, None, width, l0)

    found = sizes_of([entry(64, 20.4), entry(64, 19.6), entry(64, 29.0), entry(128, 20.0), entry(64, 31.0), entry(64, 0.2)])
    assert [(size.width, size.k) for size in found] == [(64, 1), (64, 20), (128, 20), (64, 31)]


def row_of(name: str, kind: str, *, width: int = 64, l0: float = 8.0, is_control: bool = False) -> dict[str, Any]:
    same = {"site": "resid_post.1", "part": "all", "k_sparse_f1": 0.9}
    return {"subject": name, "architecture": kind, "width": width, "l0": l0, "is_control": is_control} | same


def measured_as(row: dict[str, Any], rate: float) -> Measured:
    replicates = rate + np.linspace(-0.01, 0.01, 41)
    made = Rates([], {"full_absorption": OverLetters(rate, 0.0, 5)}, {"full_absorption": np.array([rate, *replicates])})
    return Measured(row, made)


def test_claims_are_decided_where_there_are_saes_for_them():
    found = [
        measured_as(row_of("topk", "topk"), 0.3),
        measured_as(row_of("matryoshka", "matryoshka"), 0.1),
        measured_as(row_of("wide", "topk", width=256, l0=9.0), 0.2),
        measured_as(row_of("random", "random", is_control=True), 0.9),
    ]
    verdicts = [finding.verdict for finding in findings_of(found)]
    # absorbed everywhere; Matryoshka less; wider does not absorb more; no two SAEs differ in L0 alone
    assert verdicts == ["reproduced", "reproduced", "not reproduced", "not measured"]
    (row,) = differences(found)  # the random dictionary is no SAE, and `wide` is a TopK itself
    assert (row["subject"], row["against"]) == ("matryoshka", "topk")
    assert row["difference"] == pytest.approx(-0.2)


def test_saes_whose_main_latents_do_not_tell_the_letters_decide_nothing():
    found = [
        measured_as(row_of("topk", "topk") | {"k_sparse_f1": 0.2}, 0.3),
        measured_as(row_of("matryoshka", "matryoshka"), 0.1),
    ]
    everywhere, nested, *_ = findings_of(found)
    assert [comparison.numbers.split(",")[0] for comparison in everywhere.comparisons] == ["matryoshka"]
    assert nested.verdict == "not measured"
    assert "F1 of 0.5" in nested.why_missing
    assert len(differences(found)) == 1


def test_a_difference_is_from_the_topk_nearest_in_l0_however_far():
    found = [
        measured_as(row_of("sparse", "topk", l0=16.0), 0.3),
        measured_as(row_of("dense", "topk", l0=48.0), 0.2),
        measured_as(row_of("tsae", "tsae", l0=80.0), 0.1),
    ]
    (row,) = differences(found)
    assert (row["against"], row["l0"], row["l0_against"]) == ("dense", 80.0, 48.0)
    assert findings_of(found)[1].verdict == "not measured"  # a claim asks for about one L0


def test_panels_part_where_l0_leaves_a_gap_and_random_dictionaries_stand_beside():
    rows = [
        row_of(name, name, width=width, l0=l0, is_control=name == "random")
        | {"full_absorption": 0.1, "full_absorption_low": 0.0, "full_absorption_high": 0.2}
        for width in (64, 256)
        for name, l0 in (("topk", 16.0), ("tsae", 23.0), ("matryoshka", 25.0), ("random", 16.0), ("topk", 48.0))
    ]
    figure = rates_over(rows, "width")
    assert figure is not None
    panels = figure.spec()["concat"]
    assert [panel["title"] for panel in panels] == ["L0 16 to 25", "L0 48"]
    drawn = [value["architecture"] for layer in panels[0]["layer"][1::2] for value in figure_values(figure, layer)]
    assert sorted(drawn) == sorted(["topk", "tsae", "matryoshka", "random"] * 2)


def figure_values(figure: Figure, layer: dict[str, Any]) -> list[dict[str, Any]]:
    """Data of a layer, which Altair may keep in one place for several."""
    data = layer["data"]
    return data["values"] if "values" in data else figure.spec()["datasets"][data["name"]]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """An SAE on the bundled model that learned nothing."""
    sae = TopK(TopK.Config(n_latents=256, d_in=192, k=16, seed=5))
    sae.start(torch.randn(300, 192, generator=torch.Generator().manual_seed(1)))
    save_sae(sae.export(), tmp_path / "young", extra_config={"site": "resid_post.2", "model": "bundled"})
    return tmp_path / "young"


def test_the_study_runs_on_the_bundled_model_and_says_that_it_cannot_spell(saved: Path, tmp_path: Path):
    words = tmp_path / "words.txt"
    starts, ends = "bcdt", ("ack", "ell", "ime", "oat", "ug", "ay")
    words.write_text("\n".join(start + end for start in starts for end in ends))
    STUDIES.get("absorption")  # gives it its name

    def study(**settings: Any) -> StudyResult:
        given = Absorption.Config(
            sae=(str(saved),),
            model=ModelConfig(model="bundled"),
            words=str(words),
            n_examples=1,
            test_fraction=0.5,
            least_per_class=4,
            ks=(1, 2),
            probe=ProbeTraining(n_epochs=5),
            latent_probe=ProbeTraining(n_epochs=5, l1=0.01),
            least_f1=0.0,
            least_letters=2,
            n_replicates=20,
            **settings,
        )
        return Absorption(given).investigate(tmp_path / "work")

    plain = study()
    assert "cannot do the task" in plain.text
    assert "absorption_rate" not in plain.tables["absorption"][0]
    for kept in (tmp_path / "work" / "absorption").glob("*/judged.json"):
        kept.unlink()
    found = study(least_accuracy=0.0)
    rows = found.tables["absorption"]
    assert [row["architecture"] for row in rows] == ["topk", "PCA", "random"]
    ((name, content),) = found.files.items()
    told = read_saebench(content).metrics["mean"]
    assert name == "absorption_first_letter_monoseme_young_eval_results.json"
    assert told["mean_full_absorption_score"] == pytest.approx(rows[0]["full_absorption"])
    assert told["mean_absorption_fraction_score"] == pytest.approx(rows[0]["absorption_fraction"])
    assert [row["width"] for row in rows] == [256, 192, 256]
    assert all(row["full_absorption"] is not None and row["k_sparse_f1"] is not None for row in rows)
    assert all(row["n_ablated"] == 0 or row["absorption_rate"] is not None for row in found.tables["letters"])
    for row in found.tables["ablations"]:
        assert json.loads(row["ablation_scores"])[0] == row["top_ablation_score"] <= row["second_ablation_score"]
    again = study(least_accuracy=0.0)
    assert again.tables == found.tables
