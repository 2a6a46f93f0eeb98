"""The tiny model and text of the pipeline's tests, and one run with an SAE of each kind that the studies are about."""

from pathlib import Path

import pytest
from tests.pipeline.conftest import corpus_file, model_folder

from monoseme.evaluation.fidelity import Fidelity
from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig, RunFolder, StreamConfig, train_run
from monoseme.saes.matryoshka import Matryoshka
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from monoseme.saes.tsae import TSAE
from monoseme.text import CorpusConfig
from monoseme.training import TrainConfig

__all__ = ["corpus_file", "model_folder", "studied_run"]


def studied_config(model: Path, corpus: Path, *, seed: int = 0) -> RunConfig:
    return RunConfig(
        model=ModelConfig(model=str(model)),
        corpus=CorpusConfig(source=str(corpus), context_len=16, label_fields=("domain",), holdout_fraction=0.3),
        stream=StreamConfig(contexts_per_block=8, validation_loss_tokens=100),
        fidelity=Fidelity.Config(max_tokens=400, max_loss_tokens=200, n_replicates=8),
        train=TrainConfig(n_tokens=512, batch_size=64, seed=seed, validate_every=100, validation_tokens=200, start_tokens=1024),
        saes=(
            TopK.Config(n_latents=24, k=3, seed=seed),
            Matryoshka.Config(n_latents=24, k=3, group_fractions=(0.25, 0.25, 0.5), seed=seed),
            TSAE.Config(n_latents=24, k=3, group_fractions=(0.25, 0.75), seed=seed),
            TFA.Config(n_latents=24, k=3, bottleneck=2, n_heads=2, seed=seed),
            MLSAE.Config(n_latents=24, k=3, seed=seed),
        ),
    )


@pytest.fixture(scope="session")
def studied_run(model_folder: Path, corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """SAEs topk, matryoshka (three groups), tsae (two), tfa and mlsae, of 24 latents, hardly trained."""
    return train_run(studied_config(model_folder, corpus_file), tmp_path_factory.mktemp("studied") / "run")
