"""A tiny model and text on disk, and the smallest run over them."""

import dataclasses
from pathlib import Path

import pytest

from monoseme.pipeline import RunConfig
from monoseme.saes.topk import TopK
from tests.pipeline.conftest import corpus_file, model_folder, tiny_config

__all__ = ["corpus_file", "model_folder"]


@pytest.fixture
def config(model_folder: Path, corpus_file: Path) -> RunConfig:
    """One TopK of F=37 latents, k=5; batches of 96."""
    whole = tiny_config(model_folder, corpus_file)
    settings = dataclasses.replace(whole.settings, sites=("resid_post.0",))
    return RunConfig.of(settings, (TopK.Config(n_latents=37, k=5),))
