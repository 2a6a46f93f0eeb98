"""Gemma-2-2B, resid_post.12: BatchTopK with 16,384 latents on 500 million tokens in bfloat16; one 80 GB GPU, about a day."""

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig, StreamConfig
from monoseme.saes.batchtopk import BatchTopK
from monoseme.text import CorpusConfig
from monoseme.training import TrainConfig


def config() -> RunConfig:
    """The site and width of Gemma Scope's canonical SAEs. The model is gated: accept its licence and set HF_TOKEN."""
    return RunConfig(
        model=ModelConfig(model="google/gemma-2-2b", dtype="bfloat16", device="cuda"),
        corpus=CorpusConfig(source="monology/pile-uncopyrighted", context_len=1024),
        sites=("resid_post.12",),
        stream=StreamConfig(contexts_per_block=16, max_tokens=520_000_000),
        train=TrainConfig(n_tokens=500_000_000, batch_size=8192),
        saes=(BatchTopK.Config(n_latents=16_384, k=64),),
    )
