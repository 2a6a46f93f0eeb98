"""Studies of letters in few latents and in single ones: tables say what raw scores say, and nothing that is not there."""

import io
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score, roc_auc_score
from tests.studies.test_first_letter import bundled, letter_saes, letters_config, word_file

from monoseme.studies._k_sparse_probing.figures import f1_by_k, split_map
from monoseme.studies.k_sparse_probing import KSparseProbing
from monoseme.studies.latent_evaluation import LatentEvaluation

__all__ = ["bundled", "letter_saes", "word_file"]


def settings_of(saes: Path, words: Path, *names: str) -> dict[str, object]:
    config = letters_config(saes, words, *names)
    return {f.name: getattr(config, f.name) for f in fields(config) if f.init} | {"least_probe_f1": 0.0}


def test_k_sparse_tables_say_what_their_raw_scores_say(letter_saes: Path, word_file: Path, tmp_path: Path) -> None:
    config = KSparseProbing.Config(**settings_of(letter_saes, word_file, "topk", "wide"))  # pyright: ignore[reportArgumentType]
    result = KSparseProbing(config).investigate(tmp_path)
    rows = result.tables["auroc_f1"]
    assert {(row["sae"], row["k"]) for row in rows} == {(sae, k) for sae in ("topk", "wide") for k in (1, 2, 3)}
    raw = pq.read_table(io.BytesIO(result.files["wide_raw_results.parquet"])).to_pydict()
    for row in (row for row in rows if row["sae"] == "wide"):
        letter = row["letter"].lower()
        score = np.array(raw[f"score_sparse_sae_{letter}_k_{row['k']}"])
        truth = np.array(raw["answer_letter"]) == letter
        assert row["f1"] == pytest.approx(f1_score(truth, score > 0, zero_division=0.0))
        assert row["auc"] == pytest.approx(roc_auc_score(truth, score))
        acts = np.array(raw[f"sparse_sae_{letter}_acts"])
        np.testing.assert_allclose(raw[f"sum_sparse_sae_{letter}_k_2"], acts[:, :2].sum(1), rtol=1e-6)
    one = next(row for row in result.tables["metadata"] if (row["sae"], row["letter"], row["k"]) == ("wide", "S", 2))
    acts = np.array(raw["sparse_sae_s_acts"])[:, :2]
    score = acts @ np.array(one["weights"].split(), dtype=np.float64) + one["bias"]
    np.testing.assert_allclose(score, raw["score_sparse_sae_s_k_2"], rtol=1e-4, atol=1e-4)  # weights are told to six digits
    assert all(row["num_split_features"] == len(row["split_feats"].split()) - 1 for row in result.tables["splits"])
    assert {"f1_by_k", "f1_by_letter", "f1_l0", "splits_l0"} <= {figure.name for figure in result.figures}
    assert "probe_resid_post.1.safetensors" in result.files
    assert "This model does not answer the question" in result.text


def test_latent_evaluation_counts_firing_and_says_so_where_no_letter_counts(
    letter_saes: Path, word_file: Path, tmp_path: Path
) -> None:
    settings = settings_of(letter_saes, word_file, "topk") | {"least_probe_f1": 1.0}
    result = LatentEvaluation(LatentEvaluation.Config(**settings)).investigate(tmp_path)  # pyright: ignore[reportArgumentType]
    raw = pq.read_table(io.BytesIO(result.files["topk_raw_results.parquet"])).to_pydict()
    for row in result.tables["latents"]:
        top = f"{row['letter'].lower()}_top_{row['rank']}"
        code = np.array(raw[f"score_sae_{top}"])
        truth = np.array(raw["answer_letter"]) == row["letter"].lower()
        assert set(raw[f"sae_{top}_feat"]) == {row["latent"]}
        assert row["f1"] == pytest.approx(f1_score(truth, code > 0, zero_division=0.0))
        assert row["auc"] == pytest.approx(roc_auc_score(truth, code))
    ranked = [row["cos_probe_sae_enc"] for row in result.tables["latents"] if row["letter"] == "S"]
    assert ranked == sorted(ranked, reverse=True)
    assert len(ranked) == 5
    assert not any(row["counts"] for row in result.tables["latents"])
    (summary,) = result.tables["saes"]
    assert (summary["n_letters"], summary["f1_sae"]) == (0, None)
    assert [metric.why_missing for metric in result.metrics["topk"]] == ["the probe on activations can tell no letter"] * 2
    assert [figure.name for figure in result.figures] == ["reliability"]
    assert "nothing can be said of latents" in result.text


def test_figures_that_would_be_empty_are_not_drawn() -> None:
    assert f1_by_k([]) is None
    assert split_map([{"sae": "a", "letter": "A", "num_split_features": 0}]) is None
