"""What latents do to what a model says: by gradients, integrated gradients and ablation, directly and through other latents."""

from monoseme.attribution._latents import SAEs
from monoseme.attribution._scores import Attribution, at_positions
from monoseme.attribution._suffixes import Batching
from monoseme.attribution.ablation import (
    Ablating,
    FiringEffects,
    ablate_firings,
    ablate_firings_on_logits,
    ablate_groups,
    direct_path,
)
from monoseme.attribution.agreements import Agreement, agreement
from monoseme.attribution.baselines import Baseline, Mean, Resample, Zero
from monoseme.attribution.between import LatentEffects, effects_between
from monoseme.attribution.direct import direct_effects, direct_effects_on_logits
from monoseme.attribution.gradients import gradient_times_activation, plain_gradient_times_activation
from monoseme.attribution.integrated import Completeness, Corrupted, Patch, Path, completeness, integrated_gradients
from monoseme.attribution.metrics import LogitMetric, Readout, letter_metric, log_probability, logit_difference

__all__ = [
    "Ablating",
    "Agreement",
    "Attribution",
    "Baseline",
    "Batching",
    "Completeness",
    "Corrupted",
    "FiringEffects",
    "LatentEffects",
    "LogitMetric",
    "Mean",
    "Patch",
    "Path",
    "Readout",
    "Resample",
    "SAEs",
    "Zero",
    "ablate_firings",
    "ablate_firings_on_logits",
    "ablate_groups",
    "agreement",
    "at_positions",
    "completeness",
    "direct_effects",
    "direct_effects_on_logits",
    "direct_path",
    "effects_between",
    "gradient_times_activation",
    "integrated_gradients",
    "letter_metric",
    "log_probability",
    "logit_difference",
    "plain_gradient_times_activation",
]
