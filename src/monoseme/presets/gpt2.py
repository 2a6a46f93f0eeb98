"""GPT-2 small, resid_post.7: TopK with 24,576 latents on 200 million tokens; a GPU, about two hours."""

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig, StreamConfig
from monoseme.saes.topk import TopK
from monoseme.text import CorpusConfig
from monoseme.training import TrainConfig


def config() -> RunConfig:
    """Width 32 times D and k 32, as in Gao et al. 2024 for GPT-2 small."""
    return RunConfig(
        model=ModelConfig(model="openai-community/gpt2", device="cuda"),
        corpus=CorpusConfig(source="monology/pile-uncopyrighted", context_len=128),
        sites=("resid_post.7",),
        stream=StreamConfig(contexts_per_block=128, max_tokens=220_000_000),
        train=TrainConfig(n_tokens=200_000_000, batch_size=4096),
        saes=(TopK.Config(n_latents=24_576, k=32),),
    )
