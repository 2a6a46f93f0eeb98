"""TFA on Llama-3.1-8B, resid_post.15: 16,384 latents, 256 novel ones per token, attention of four heads."""

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig
from monoseme.presets._recipes import contexts_of_500, tfa_config


def config() -> RunConfig:
    """The model is gated: accept its licence and set HF_TOKEN."""
    model = ModelConfig(model="meta-llama/Llama-3.1-8B", dtype="bfloat16", device="cuda")
    return contexts_of_500(model, site="resid_post.15", saes=(tfa_config(4096, k=256, scale=0.085),))
