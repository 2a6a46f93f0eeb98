"""A tiny model and text on disk, and one finished run over them that many tests look at."""

from pathlib import Path

import pytest

from monoseme.atlas import ScanConfig
from monoseme.core.display import SilentDisplay
from monoseme.evaluation.fidelity import Fidelity
from monoseme.models import ModelConfig
from monoseme.pipeline import AtlasConfig, RunConfig, RunFolder, StreamConfig, run_all
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.topk import TopK
from monoseme.text import CorpusConfig
from monoseme.training import ScheduleConfig, TrainConfig
from tests.tiny_input import corpus_file, model_folder

__all__ = ["corpus_file", "model_folder"]


class Told(SilentDisplay):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(text)


def tiny_config(model: Path, corpus: Path, *, n_steps: int = 12) -> RunConfig:
    """A whole run in seconds: two SAEs at two sites."""
    return RunConfig(
        model=ModelConfig(model=str(model)),
        corpus=CorpusConfig(source=str(corpus), context_len=32, label_fields=("domain",)),
        stream=StreamConfig(contexts_per_block=8, validation_loss_tokens=200, max_tokens=12_000),
        sites=("resid_post.0", "mlp_out.1"),
        train=TrainConfig(
            n_steps=n_steps,
            batch_size=96,
            schedule=ScheduleConfig(kind="constant"),
            validate_every=6,
            validation_tokens=200,
            log_every=4,
            start_tokens=512,
        ),
        fidelity=Fidelity.Config(max_tokens=400, n_replicates=8),
        atlas=AtlasConfig(n_tokens=2000, scan=ScanConfig()),
        saes=(TopK.Config(n_latents=37, k=5), BatchTopK.Config(n_latents=37, k=5)),
    )


@pytest.fixture(scope="session")
def run(model_folder: Path, corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_all(tiny_config(model_folder, corpus_file), tmp_path_factory.mktemp("runs") / "tiny")
