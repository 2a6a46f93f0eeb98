"""A run with an SAE of 65,536 latents, for timings: real files, scanned and written as any run's, in about a minute.

    python -m tests.web.wide_run FOLDER

The SAE is hardly trained, and its explanations and scores are drawn from a seed: what is timed depends on how much there is, not
on what it says.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from monoseme.atlas import Explanation, Score, open_atlas
from monoseme.atlas.annotations import check_free, write_explanations, write_scores
from monoseme.pipeline import AtlasConfig, RunConfig, RunFolder, StreamConfig, scan_run, train_run
from monoseme.saes.topk import TopK
from monoseme.training import TrainConfig

N_LATENTS = 65_536
_SCANNED_TOKENS = 12_000
_WORDS = tuple(f"word{n}" for n in range(500))
"""What explanations are drawn from."""


def make_wide_run(folder: Path, *, n_latents: int = N_LATENTS) -> Path:
    """Train for a moment, scan, and annotate every latent that fired."""
    config = RunConfig(
        sites=("resid_post.3",),
        stream=StreamConfig(max_tokens=16_000, drop_sinks=False, validation_loss_tokens=None),
        train=TrainConfig(n_tokens=512, batch_size=256),
        atlas=AtlasConfig(n_tokens=_SCANNED_TOKENS, relations=False),
        saes=(TopK.Config(n_latents=n_latents, k=64),),
    )
    run = train_run(config, folder)
    scan_run(run)
    _annotate(run)
    return folder


def _annotate(run: RunFolder) -> None:
    latents = open_atlas(run.atlas).latents("topk")
    fired = [index for index, density in enumerate(latents.densities()) if density > 0]
    draw = random.Random(0)
    said = (Explanation(latent=index, text=" ".join(draw.choices(_WORDS, k=8))) for index in fired)
    config = {"explainer": "drawn", "settings": {}}
    write_explanations(check_free(run.atlas, "topk", "drawn"), said, about=latents, config=config)
    (explained,) = open_atlas(run.atlas).annotations("topk")
    scored = {"scorer": "drawn", "headline": "detection", "definitions": {"detection": "Drawn from a seed."}}
    path = check_free(run.atlas, "topk", "detection.drawn")
    write_scores(path, _scores(fired, draw), about=latents, explanations=explained, config=scored)


def _scores(latents: list[int], draw: random.Random) -> Iterator[Score]:
    for index in latents:
        yield Score(latent=index, name="detection", value=draw.betavariate(5, 2), n=100, standard_error=0.02)


if __name__ == "__main__":
    make_wide_run(Path(sys.argv[1]))
