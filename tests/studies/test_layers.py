"""The study of layers on the tiny run, and what it makes of given latents."""

import shutil
from pathlib import Path

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.pipeline import RunFolder
from monoseme.studies import STUDIES
from monoseme.studies._layers.embeddings import nearest_embeddings
from monoseme.studies._layers.latents import Latents, latent_rows
from monoseme.studies._layers.maps import aggregated_map
from monoseme.studies.layers import Layers
from monoseme.testing.models import tiny_model


def _study(*saes: Path, **settings: object) -> Layers:
    STUDIES.get("layers")  # gives it its name
    few = {"n_replicates": 30, "max_tokens": 400, "max_fidelity_tokens": 200, "max_loss_tokens": 100}
    return Layers(Layers.Config(sae=tuple(map(str, saes)), **(few | settings)))  # pyright: ignore


def test_the_result_has_its_tables_and_a_resume_measures_nothing_again(studied_run: RunFolder, tmp_path: Path):
    study = _study(studied_run.sae("mlsae"), studied_run.sae("topk"), prompt="the cat saw the dog")
    found = study.investigate(tmp_path)
    latents, distributions = found.tables["latents"], found.tables["distributions"]
    assert {row["sae"] for row in latents} == {"mlsae"}
    by_latent: dict[int, float] = {}
    for row in distributions:
        by_latent[row["latent"]] = by_latent.get(row["latent"], 0.0) + row["probability"]
    assert all(total == pytest.approx(1.0) for total in by_latent.values())
    assert sorted(by_latent) == [row["latent"] for row in latents if row["count"]]
    assert {row["sae"] for row in found.tables["sites"]} == {"mlsae", "topk"}
    assert {"fvu", "l0", "l1", "ce_increase", "kl", "logit_mse"} < set(found.tables["sites"][0])
    assert {row["rank"] for row in found.tables["embeddings"]} == set(range(1, 9))
    assert len({figure.name for figure in found.figures} - set(found.tables)) == len(found.figures)
    assert all(figure.spec() for figure in found.figures)
    measured = tmp_path / "measured" / "layer_spread" / "mlsae" / "report.json"
    made = measured.stat().st_mtime_ns
    assert study.investigate(tmp_path).tables == found.tables
    assert measured.stat().st_mtime_ns == made


def test_two_saes_of_several_layers_are_compared_by_paired_replicates(studied_run: RunFolder, tmp_path: Path):
    shutil.copytree(studied_run.path, tmp_path / "twin")
    found = _study(studied_run.sae("mlsae"), tmp_path / "twin" / "saes" / "mlsae").investigate(tmp_path / "work")
    assert found.tables["differences"]
    assert {(row["difference"], row["low"], row["high"]) for row in found.tables["differences"]} == {(0.0, 0.0, 0.0)}


def test_without_an_sae_of_several_layers_it_says_what_to_name(studied_run: RunFolder, tmp_path: Path):
    with pytest.raises(ConfigError, match="none of topk has codes at several layers"):
        _study(studied_run.sae("topk")).investigate(tmp_path)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="min_count is 0"):
        Layers.Config(min_count=0)


def _latents(totals: torch.Tensor) -> Latents:
    counts = (totals > 0).long() * 3
    rows = tuple({"latent": j, "count": int(n), "n_layers": 0} for j, n in enumerate(counts.sum(0)))
    sites = tuple(f"resid_post.{layer}" for layer in range(len(totals)))
    return Latents("mlsae", sites, torch.arange(len(totals), dtype=torch.float64), counts, totals.double(), rows)


def test_a_loud_layer_moves_the_mean_layer_but_not_the_even_one():
    totals = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0], [10.0, 20.0, 0.0]])
    rows = latent_rows(_latents(totals), min_count=2)
    assert rows[0]["even_mean"] == pytest.approx(1.0)
    assert rows[0]["distance_to_layer"] == pytest.approx(2 - 21 / 12)
    assert rows[2]["even_mean"] is None
    assert [row["n_layers"] for row in rows] == [3, 3, None]
    assert [row["n_layers"] for row in latent_rows(_latents(totals), min_count=4)] == [0, 0, None]


def test_thousands_of_latents_share_rows_of_the_map_sorted_by_mean_layer():
    gen = torch.Generator().manual_seed(0)
    figure = aggregated_map(_latents(torch.rand(3, 1000, generator=gen).pow(4)))
    cells = figure.chart.to_dict()["concat"][0]["data"]["values"]
    assert len(cells) == 200 * 3
    means = [sum(int(c["layer"]) * c["value"] for c in cells if c["low"] == low) for low in range(0, 1000, 5)]
    assert means == sorted(means)


def test_the_nearest_embedding_of_a_tokens_own_row_is_that_token():
    model = tiny_model("gpt2")
    for found in nearest_embeddings(model, 3 * model.embedding()[[5, 11]], k=2):
        if found.embedding.startswith("input"):
            assert found.token[:, 0].tolist() == [5, 11]
            assert found.cosine[:, 0].tolist() == pytest.approx([1.0, 1.0], rel=1e-5)
