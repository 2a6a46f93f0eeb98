"""The standard SAEs that TFA is compared with, on Gemma-2-2B, resid_post.12: six of them, 9,216 latents, 192 per token."""

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig
from monoseme.presets._recipes import contexts_of_500, standard_configs


def config() -> RunConfig:
    """All six on one pass of the model. The model is gated: accept its licence and set HF_TOKEN."""
    model = ModelConfig(model="google/gemma-2-2b", dtype="bfloat16", device="cuda")
    return contexts_of_500(model, site="resid_post.12", saes=standard_configs(2304, k=192, scale=0.00666667))
