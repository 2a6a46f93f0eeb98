"""A tiny model and text on disk, the smallest run over them."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from monoseme.pipeline import RunConfig, run_config_to_dict
from monoseme.saes.topk import TopK
from tests.pipeline.conftest import tiny_config
from tests.tiny_input import corpus_file, model_folder

__all__ = ["corpus_file", "model_folder"]


@pytest.fixture
def config(model_folder: Path, corpus_file: Path) -> RunConfig:
    """One TopK of F=37 latents, k=5; batches of 96."""
    return _config(model_folder, corpus_file)


def _config(model: Path, corpus: Path) -> RunConfig:
    whole = tiny_config(model, corpus)
    settings = dataclasses.replace(whole.settings, sites=("resid_post.0",))
    return RunConfig.of(settings, (TopK.Config(n_latents=37, k=5),))


def task_of(config: RunConfig, **changes: Any) -> dict[str, Any]:
    """A probe without compiled kernels, which take long to compile; the run ends before its time is over."""
    plain = run_config_to_dict(config) | changes
    return {"verb": "train", "config": plain, "kernels": "torch", "seconds": 60.0}
