"""What recipes of one paper share: each preset file is one model's variant."""

import math
from typing import Any

from monoseme.models import ModelConfig
from monoseme.pipeline import RunConfig, StreamConfig
from monoseme.saes import SAE, NormaliseConfig
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.jumprelu import JumpReLU
from monoseme.saes.matching_pursuit import MatchingPursuit
from monoseme.saes.relu import ReLU
from monoseme.saes.spade import SpaDE
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from monoseme.saes.tsae import TSAE
from monoseme.text import CorpusConfig
from monoseme.training import ScheduleConfig, TrainConfig

_PILE = "monology/pile-uncopyrighted"


def tsae_recipe(model: ModelConfig, *, layer: int) -> RunConfig:
    """T-SAE (arXiv:2511.05541) as its code trains it: 16,384 latents, k 20, a random earlier token, 200,000 steps of 8,192 pairs.

    What differs: activations are scaled to unit mean square while learning, the running threshold forgets sooner, and pairs stay
    within a document.
    """
    return RunConfig(
        model=model,
        corpus=CorpusConfig(source=_PILE, context_len=256, holdout_fraction=0.01),
        sites=(f"resid_post.{layer}",),
        stream=StreamConfig(contexts_per_block=64, max_tokens=1_700_000_000, drop_sinks=False),
        train=TrainConfig(
            n_steps=200_000,
            batch_size=8192,
            lr=3e-4,
            eps=1e-8,
            clip_norm=1.0,
            schedule=ScheduleConfig(kind="constant", warmup_steps=1000),
            checkpoint_at=(0.04, 0.08, 0.2, 0.32, 0.4),
            shuffle_window=16,
        ),
        saes=(
            TSAE.Config(
                n_latents=16_384,
                k=20,
                pairs="random",
                contrastive=True,
                temp_alpha=0.1,
                group_fractions=(0.2, 0.8),
                group_weights=(0.2, 0.8),
            ),
        ),
    )


def contexts_of_500(model: ModelConfig, *, site: str, saes: tuple[SAE.Config, ...]) -> RunConfig:
    """The runs of "Priors in Time" (arXiv:2511.01836): 200,000 steps of 100 texts, the first 500 tokens of each that has as many.

    What differs: the corpus is the Pile here (we did not see theirs named); their activations are stored in bfloat16 and read
    once in order, ours come from the live model, shuffled.
    """
    rate, last_rate = 1e-3, 9e-4
    return RunConfig(
        model=model,
        corpus=CorpusConfig(
            source=_PILE,
            packing="one_per_context",
            context_len=500,
            min_tokens=500,
            truncate_tokens=500,
            holdout_fraction=0.01,
            keep_special=True,
            seed=42,
        ),
        sites=(site,),
        stream=StreamConfig(contexts_per_block=50, drop_sinks=False),
        train=TrainConfig(
            n_steps=200_000,
            batch_size=50_000,
            accumulate=5,
            optimiser="adamw",
            lr=rate,
            betas=(0.9, 0.95),
            eps=1e-8,
            weight_decay=1e-4,
            clip_norm=1.0,
            schedule=ScheduleConfig(kind="cosine", warmup_steps=200, final_fraction=last_rate / rate),
            autocast="bfloat16",
            checkpoint_every=20_000,
            checkpoint_at=(),
            shuffle_window=4,
            seed=42,
        ),
        saes=saes,
    )


def tfa_config(d_in: int, *, k: int, scale: float) -> TFA.Config:
    """TFA with four latents to a dimension, one layer of four heads, tied; `scale` is one over the mean norm, as measured."""
    return TFA.Config(
        n_latents=4 * d_in,
        k=k,
        novel="topk",
        n_heads=4,
        n_attention_layers=1,
        bottleneck=1,
        tied=True,
        encoder_scale=1 / (4 * d_in),
        normalise=NormaliseConfig(kind="constant", constant=scale),
        b_dec_start="zeros",
        seed=42,
    )


def standard_configs(d_in: int, *, k: int, scale: float) -> tuple[SAE.Config, ...]:
    """The SAEs that TFA is compared with: four latents to a dimension, `k` of them active.

    Penalties: ReLU's 8 on codes whose rows have norm sqrt(d_in) is 8 / sqrt(d_in) on ours of norm 1. The threshold of JumpReLU
    and its penalty are not told apart from others' in the configuration as we read it: here a controller brings it to `k`.
    """
    shared: dict[str, Any] = {"n_latents": 4 * d_in, "b_dec_start": "zeros", "seed": 42}
    scaled: dict[str, Any] = shared | {"normalise": NormaliseConfig(kind="constant", constant=scale)}
    return (
        ReLU.Config(**scaled, sparsity_coefficient=8 / math.sqrt(d_in)),
        TopK.Config(**scaled, k=k, auxk_coefficient=0.0),
        BatchTopK.Config(**scaled, k=k, auxk_coefficient=0.0, threshold_decay=0.999),
        JumpReLU.Config(**scaled, target_l0=float(k)),
        MatchingPursuit.Config(**scaled, k=k),
        SpaDE.Config(**shared, sparsity_coefficient=10.0, scale_start=1 / (4 * d_in), decoder_start=math.sqrt(d_in)),
    )
