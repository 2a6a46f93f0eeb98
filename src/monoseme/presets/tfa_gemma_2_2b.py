"""TFA on Gemma-2-2B, resid_post.12: 9,216 latents, 192 novel ones per token, attention of four heads."""

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig
from monoseme.presets._recipes import contexts_of_500, tfa_config


def config() -> RunConfig:
    """The model is gated: accept its licence and set HF_TOKEN."""
    model = ModelConfig(model="google/gemma-2-2b", dtype="bfloat16", device="cuda")
    return contexts_of_500(model, site="resid_post.12", saes=(tfa_config(2304, k=192, scale=0.00666667),))
