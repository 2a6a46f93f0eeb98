"""T-SAE on Pythia-160m, resid_post.8: 16,384 latents, k 20, contrastive on a random earlier token."""

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig
from monoseme.presets._recipes import tsae_recipe


def config() -> RunConfig:
    """The script's defaults, with its contrastive loss on, as in the paper."""
    return tsae_recipe(ModelConfig(model="EleutherAI/pythia-160m", device="cuda"), layer=8)
