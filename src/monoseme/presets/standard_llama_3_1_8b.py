"""The standard SAEs that TFA is compared with, on Llama-3.1-8B, resid_post.15: six of them, 16,384 latents, 256 per token."""

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig
from monoseme.presets._recipes import contexts_of_500, standard_configs


def config() -> RunConfig:
    """All six on one pass of the model. The model is gated: accept its licence and set HF_TOKEN."""
    model = ModelConfig(model="meta-llama/Llama-3.1-8B", dtype="bfloat16", device="cuda")
    return contexts_of_500(model, site="resid_post.15", saes=standard_configs(4096, k=256, scale=0.085))
