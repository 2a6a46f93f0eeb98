"""Every preset is a complete config that survives JSON, and trains: here on a tiny model, with sizes to match."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig, run_config_from_dict, run_config_to_dict, train_run
from monoseme.presets import PRESETS, own_saes, preset
from monoseme.saes import SAE
from monoseme.training import read_metrics
from tests.pipeline.conftest import corpus_file, model_folder

__all__ = ["corpus_file", "model_folder"]

_N_LAYERS = 2
_FEW_STEPS: dict[str, Any] = {"n_steps": 3, "batch_size": 96, "start_tokens": 200, "validation_tokens": 96, "log_every": 1}
_SMALL = {"n_latents": 48, "k": 4, "k_aux": 8, "target_l0": 5.0, "dead_after_tokens": 100}


def _small_sae(config: SAE.Config) -> SAE.Config:
    names = {field.name for field in dataclasses.fields(config)}
    changes: dict[str, Any] = {name: value for name, value in _SMALL.items() if name in names and getattr(config, name)}
    return dataclasses.replace(config, **changes)


def _small_site(site: str) -> str:
    return re.sub(r"\d+", lambda layer: str(int(layer[0]) % _N_LAYERS), site)


def _small(config: RunConfig, model: Path, corpus: Path) -> RunConfig:
    """The preset in miniature: what it says of the method stays, sizes and hub names go."""
    text = config.corpus
    return dataclasses.replace(
        config,
        model=ModelConfig(model=str(model)),
        corpus=dataclasses.replace(
            text,
            source=str(corpus),
            context_len=24,
            holdout_fraction=0.2,
            min_tokens=min(text.min_tokens, 24),
            truncate_tokens=None if text.truncate_tokens is None else 24,
        ),
        sites=None if config.sites is None else tuple(_small_site(site) for site in config.sites),
        stream=dataclasses.replace(config.stream, contexts_per_block=8, max_tokens=6_000, validation_loss_tokens=None),
        train=dataclasses.replace(
            config.train,
            n_tokens=None,
            n_steps=3,
            batch_size=96,
            start_tokens=200,
            validation_tokens=96,
            autocast=None,
            log_every=1,
        ),
        saes=tuple(_small_sae(sae) for sae in config.saes),
    )


@pytest.mark.parametrize("name", PRESETS.names())
def test_a_preset_survives_json(name: str) -> None:
    config = preset(name)
    assert run_config_from_dict(run_config_to_dict(config)) == config


@pytest.mark.parametrize("name", PRESETS.names())
def test_a_preset_trains_in_miniature(name: str, model_folder: Path, corpus_file: Path, tmp_path: Path) -> None:
    config = preset(name)
    run = train_run(_small(config, model_folder, corpus_file), tmp_path / "run")
    assert len(run.sae_names()) == len(config.saes)
    rows = [row for row in read_metrics(run.training / "metrics.jsonl") if "event" not in row]
    assert {row["step"] for row in rows} == {1, 2, 3}
    assert all(row["loss"] > 0 for row in rows)


def test_saes_to_learn_on_take_the_place_of_a_presets_own() -> None:
    demo = preset("demo")
    assert own_saes(demo, demo.settings) == demo.saes
    assert own_saes(demo, dataclasses.replace(demo.settings, start_from=("runs/theirs",))) == ()
