"""A run can train through its model: the loss of the predictions is a part of each SAE's, and falls."""

import dataclasses
from pathlib import Path

import pytest

from monoseme.core.errors import ConfigError
from monoseme.pipeline import RunConfig, train_run
from monoseme.saes.mlsae import MLSAE
from monoseme.training import read_metrics
from monoseme.training.config import ObjectiveConfig
from tests.pipeline.conftest import tiny_config


def _config(model: Path, corpus: Path) -> RunConfig:
    config = tiny_config(model, corpus, n_steps=30)
    objective = ObjectiveConfig(kind="kl", weight=1.0)
    return dataclasses.replace(config, train=dataclasses.replace(config.train, objective=objective, log_every=1))


def test_the_divergence_of_the_predictions_falls(model_folder: Path, corpus_file: Path, tmp_path: Path) -> None:
    run = train_run(_config(model_folder, corpus_file), tmp_path / "run")
    rows = [row for row in read_metrics(run.training / "metrics.jsonl") if "event" not in row]
    for name in run.sae_names():
        kl = [row["loss/objective"] for row in rows if row["sae"] == name]
        assert sum(kl[-5:]) < 0.8 * sum(kl[:5]), name


def test_an_sae_of_several_sites_is_refused_before_a_folder_is_made(
    model_folder: Path, corpus_file: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(_config(model_folder, corpus_file), saes=(MLSAE.Config(n_latents=40, k=4),))
    with pytest.raises(ConfigError, match="one model at one site, but mlsae"):
        train_run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
