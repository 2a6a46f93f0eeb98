"""The learning rate of a step: pure functions of the step, so that a resume needs no state for them.

Source of the width rule: Gao et al. 2024 (arXiv:2406.04093), figure 3: the best rate falls as 1/sqrt(latents); the constant is
the one of dictionary_learning, 2e-4 at 16,384 latents.
"""

import math

from monoseme.training.config import ScheduleConfig

_RATE, _LATENTS = 2e-4, 2**14
_LONGEST_WARMUP_STEPS = 1000
_WARMUP_FRACTION = 0.05
_DECAY_FRACTIONS = {"constant": 0.0, "linear": 0.2, "cosine": 1.0}


def width_rate(n_latents: int) -> float:
    """Peak learning rate for an SAE of that width: 2e-4 / sqrt(n_latents / 16,384).

    For losses and inputs of the scale we train at (variance 1, so Adam's steps are those of the paper).
    """
    return _RATE / math.sqrt(n_latents / _LATENTS)


def warmup_steps(config: ScheduleConfig, n_steps: int) -> int:
    """Steps of the linear rise of a run of `n_steps`."""
    if config.warmup_steps is not None:
        return config.warmup_steps
    return min(_LONGEST_WARMUP_STEPS, math.ceil(_WARMUP_FRACTION * n_steps))


def rate_factor(step: int, *, config: ScheduleConfig, n_steps: int) -> float:
    """Learning rate of the 0-based `step` as a fraction of the peak.

    The warm-up ends at 1 with its last step and never begins at 0 (a step of rate 0 would be wasted). The decay starts no
    earlier than the warm-up ends and would reach `final_fraction` at step `n_steps`, one after the last.
    """
    warmup = warmup_steps(config, n_steps)
    if step < warmup:
        return (step + 1) / warmup
    fraction = _DECAY_FRACTIONS[config.kind] if config.decay_fraction is None else config.decay_fraction
    start = max(warmup, round(n_steps * (1.0 - fraction)))
    if config.kind == "constant" or step < start:
        return 1.0
    progress = min(1.0, (step - start) / max(1, n_steps - start))
    left = 1.0 - progress if config.kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.final_fraction + (1.0 - config.final_fraction) * left
