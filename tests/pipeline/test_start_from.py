"""A trained SAE learns on: with its weights, its scale and its place, from an artifact or from a checkpoint."""

import dataclasses
from pathlib import Path

import pytest
import torch

from monoseme.core.errors import ConfigError, SiteError
from monoseme.core.files import read_json
from monoseme.pipeline import RunConfig, RunFolder, open_sae, open_saes, train_run
from monoseme.saes import load_sae
from monoseme.training import read_metrics
from tests.pipeline.conftest import tiny_config


def _going_on(run: RunFolder, *words: str, **changes: object) -> RunConfig:
    config = run.record()["config"]
    model, corpus = Path(config["model"]["model"]), Path(config["corpus"]["source"])
    return dataclasses.replace(tiny_config(model, corpus), saes=(), sites=None, start_from=words, **changes)  # pyright: ignore


def test_it_starts_where_the_saved_one_ended(run: RunFolder, tmp_path: Path) -> None:
    word = str(run.sae("topk.mlp_out_1"))
    config = _going_on(run, word)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, lr=1e-9))
    on = train_run(config, tmp_path / "on")
    before, after = open_sae(word), open_sae(str(on.sae("topk.mlp_out_1")))
    assert after.sites == before.sites
    assert torch.allclose(after.sae.W_dec, before.sae.W_dec, atol=1e-6)
    assert torch.equal(after.sae.input_factor, before.sae.input_factor)


def test_it_learns(run: RunFolder, tmp_path: Path) -> None:
    on = train_run(_going_on(run, str(run.sae("topk.mlp_out_1"))), tmp_path / "on")
    fvu = [row["fvu"] for row in read_metrics(on.training / "metrics.jsonl") if row.get("event") == "validation"]
    began = [row["fvu"] for row in read_metrics(run.training / "metrics.jsonl") if row.get("event") == "validation"][-1]
    assert fvu[-1] < began


def test_a_checkpoint_learns_on_as_what_it_was_in_training(run: RunFolder, tmp_path: Path) -> None:
    names = {sae.name: type(sae.sae).__name__ for sae in open_saes(f"{run.path}@last", in_training=True)}
    assert names["batchtopk.mlp_out_1"] == "BatchTopK"
    on = train_run(_going_on(run, f"{run.path}@last"), tmp_path / "on")
    assert read_json(on.sae("batchtopk.mlp_out_1") / "manifest.json")["config"]["trained_as"]["architecture"] == "batchtopk"


def test_it_can_move_to_another_place_of_the_same_width(run: RunFolder, tmp_path: Path) -> None:
    config = dataclasses.replace(_going_on(run, str(run.sae("topk.mlp_out_1"))), sites=("resid_post.0",))
    on = train_run(config, tmp_path / "on")
    assert load_sae(on.sae("topk.mlp_out_1")).config.sites == ("resid_post.0",)
    with pytest.raises(SiteError, match="one place, not at 2"):
        train_run(dataclasses.replace(config, sites=("resid_post.0", "mlp_out.0")), tmp_path / "two")
    with pytest.raises(SiteError, match="has D="):
        train_run(dataclasses.replace(config, sites=("head_mix.0",)), tmp_path / "wide")


def test_twins_are_refused_before_a_folder_is_made(run: RunFolder, tmp_path: Path) -> None:
    word = str(run.sae("topk.mlp_out_1"))
    with pytest.raises(ConfigError, match="one name"):
        train_run(_going_on(run, word, word), tmp_path / "on")
    assert not (tmp_path / "on").exists()
