"""A real run, made by the pipeline in seconds: two small SAEs on the bundled model and a text full of markup."""

import json
from pathlib import Path

from monoseme.evaluation.fidelity import Fidelity
from monoseme.pipeline import (
    AtlasConfig,
    Materials,
    RunConfig,
    RunFolder,
    StreamConfig,
    evaluate_run,
    explain_run,
    scan_run,
    train_run,
)
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.topk import TopK
from monoseme.text import CorpusConfig
from monoseme.training import TrainConfig

from .fake_run import HOSTILE

_SENTENCES = (
    "Once upon a time there was a little dog.",
    'The boy said: "Where are you going?"',
    "<b>She</b> found a key & an old box.",
    f"It was red. {HOSTILE} The end.",
    "They ran home; nobody saw <script>alert('x')</script> them.",
)


def write_corpus(path: Path) -> Path:
    """60 short documents as JSON lines."""
    texts = (" ".join(_SENTENCES[(i * k) % 5] for k in range(1, 12)) for i in range(60))
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def make_run(folder: Path, corpus: Path) -> Path:
    """Train, evaluate, scan and explain."""
    config = RunConfig(
        sites=("resid_post.1",),
        # Not packed: in a packed context a document may begin with the one before it in sight, and no prompt is read so.
        corpus=CorpusConfig(source=str(corpus), context_len=32, packing="one_per_context"),
        stream=StreamConfig(max_tokens=12_000, drop_sinks=False, validation_loss_tokens=None),
        train=TrainConfig(n_tokens=8_000, batch_size=256, log_every=5),
        fidelity=Fidelity.Config(max_tokens=1_000, max_loss_tokens=500, n_replicates=11),
        atlas=AtlasConfig(n_tokens=8_000),
        saes=(TopK.Config(n_latents=67, k=5), BatchTopK.Config(n_latents=67, k=5)),
    )
    materials = Materials(config)
    run: RunFolder = train_run(config, folder, materials=materials)
    evaluate_run(run, materials=materials)
    scan_run(run, materials=materials)
    explain_run(run)
    return folder
