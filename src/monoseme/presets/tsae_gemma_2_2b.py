"""T-SAE on Gemma-2-2B, resid_post.12: 16,384 latents, k 20, contrastive on a random earlier token."""

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig
from monoseme.presets._recipes import tsae_recipe


def config() -> RunConfig:
    """The width of the published SAE. The model is gated: accept its licence and set HF_TOKEN."""
    return tsae_recipe(ModelConfig(model="google/gemma-2-2b", dtype="bfloat16", device="cuda"), layer=12)
