"""llama3-sae on Llama-3.2-3B: 65,536 latents on what attention reads in block 22, sentence by sentence (Pauls 2024).

Ten epochs of 25 million sentences, about 700 million tokens each. What differs: their rate falls in ten steps, one an epoch, ours
smoothly; their dead latents are counted in steps (80,000 of 8,192 tokens), ours in as many tokens.
"""

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig, StreamConfig
from monoseme.saes.normalized_topk import NormalizedTopK
from monoseme.text import CorpusConfig
from monoseme.training import ScheduleConfig, TrainConfig

_TOKENS_PER_EPOCH = 665_000_000
"""95 % of the 700 million; the rest validates."""
_BATCH = 8 * 1024
_RATE, _LAST_RATE = 5e-5, 1e-5


def config() -> RunConfig:
    """The model is gated: accept its licence and set HF_TOKEN."""
    return RunConfig(
        model=ModelConfig(model="meta-llama/Llama-3.2-3B-Instruct", dtype="bfloat16", device="cuda"),
        corpus=CorpusConfig(
            source="paulpauls/openwebtext-sentences",
            packing="one_per_context",
            bos="never",
            context_len=192,
            truncate_tokens=192,
            holdout_fraction=0.05,
            seed=42,
        ),
        sites=("attn_in.22",),
        stream=StreamConfig(contexts_per_block=32, drop_sinks=False),
        train=TrainConfig(
            n_tokens=10 * _TOKENS_PER_EPOCH,
            batch_size=_BATCH,
            optimiser="adamw",
            lr=_RATE,
            betas=(0.85, 0.9999),
            eps=6.25e-10,
            weight_decay=0.01,
            clip_norm=None,
            schedule=ScheduleConfig(kind="cosine", warmup_steps=0, final_fraction=_LAST_RATE / _RATE),
            seed=42,
        ),
        saes=(NormalizedTopK.Config(n_latents=65_536, k=64, k_aux=2048, dead_after_tokens=80_000 * _BATCH, seed=42),),
    )
