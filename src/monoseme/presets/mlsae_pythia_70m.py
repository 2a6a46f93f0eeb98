"""MLSAE on Pythia-70m: one TopK dictionary of 32,768 latents for all six layers, a billion tokens (Lawson et al. 2024).

The settings of the paper's models (expansion 64, k 32; the code's default is 16). What differs: bfloat16 where they had float16,
special tokens are left out where they were zeroed, and documents are kept apart.
"""

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig, StreamConfig
from monoseme.saes.mlsae import MLSAE
from monoseme.text import CorpusConfig
from monoseme.training import ScheduleConfig, TrainConfig


def config() -> RunConfig:
    """131,072 tokens to a step (64 rows of 2,048), learning rate 1e-4 throughout."""
    return RunConfig(
        model=ModelConfig(model="EleutherAI/pythia-70m-deduped", device="cuda"),
        corpus=CorpusConfig(source="monology/pile-uncopyrighted", context_len=2048, holdout_fraction=0.01),
        sites=("resid_post.*",),
        stream=StreamConfig(contexts_per_block=64, max_tokens=1_020_000_000, drop_sinks=False),
        train=TrainConfig(
            n_tokens=1_000_000_000,
            batch_size=131_072,
            accumulate=8,
            lr=1e-4,
            eps=6.25e-10,
            clip_norm=None,
            schedule=ScheduleConfig(kind="constant", warmup_steps=0),
            autocast="bfloat16",
            shuffle_window=2,
            seed=42,
        ),
        saes=(MLSAE.Config(n_latents=64 * 512, k=32, k_aux=256, auxk_coefficient=1 / 32, seed=42),),
    )
