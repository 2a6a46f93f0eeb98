"""The demo: a TopK, a Matryoshka and a T-SAE on the bundled model and text, on two CPU cores within three minutes."""

from monoseme.evaluation.fidelity import Fidelity
from monoseme.pipeline import AtlasConfig, RunConfig, StreamConfig
from monoseme.saes.matryoshka import Matryoshka
from monoseme.saes.topk import TopK
from monoseme.saes.tsae import TSAE
from monoseme.training import ScheduleConfig, TrainConfig

_GROUPS = (0.2, 0.8)
"""The same for both that have groups, so that the report compares like with like."""


def config() -> RunConfig:
    """4,096 latents, about 21 to a dimension, 32 of them active; 300,000 tokens, one pass of the model for all three."""
    n_latents, k = 4096, 32
    # A latent silent for a fifth of the run is dead: the field's ten million tokens would revive none here.
    dead_after_tokens = 100_000
    return RunConfig(
        sites=("resid_post.3",),
        stream=StreamConfig(contexts_per_block=16, max_tokens=1_000_000, validation_loss_tokens=2048),
        train=TrainConfig(
            n_tokens=300_000,
            schedule=ScheduleConfig(kind="linear", decay_fraction=0.3),
            validate_every=100,
            validation_tokens=8192,
            checkpoint_at=(0.5,),
        ),
        evaluations=("fidelity", "smoothness"),
        fidelity=Fidelity.Config(max_tokens=40_000, max_loss_tokens=16_000),
        atlas=AtlasConfig(n_tokens=120_000),
        saes=(
            TopK.Config(n_latents=n_latents, k=k, dead_after_tokens=dead_after_tokens),
            Matryoshka.Config(n_latents=n_latents, k=k, dead_after_tokens=dead_after_tokens, group_fractions=_GROUPS),
            TSAE.Config(n_latents=n_latents, k=k, dead_after_tokens=dead_after_tokens, group_fractions=_GROUPS),
        ),
    )
