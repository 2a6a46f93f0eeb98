"""The learning rate of a step: pure functions of the step, so that a resume needs no state for them.

**The default peak**: 2e-4 / sqrt(latents / 16,384) * sqrt(30,000 / steps), the last factor from 1 to 10.

The first part is the width rule of Gao et al. 2024 (arXiv:2406.04093, figure 3: the best rate falls as 1/sqrt(latents)) with the
constant of dictionary_learning, which is for runs of 30,000 steps and more. A short run ends long before that rate has moved the
dictionary far enough. Measured with TopK, 4,096 latents, k 32, on the bundled model's middle layer (held-out FVU; latents silent
on 12,000 held-out tokens; * is the rule's choice):

    75 steps of 1,024      4e-3* 0.205 3 %    8e-3 0.173 11 %    1.6e-2 0.168 33 %
    300 steps of 1,024     4e-4 0.256 0 %    1e-3 0.178 0 %    2e-3 0.139 0 %    4e-3* 0.114 2 %    8e-3 0.102 14 %
    1,200 steps of 256     1e-3 0.126 0 %    2e-3* 0.103 0 %

Past it FVU falls further only while latents die.
"""

import math

from monoseme.training.config import ScheduleConfig

_RATE, _LATENTS = 2e-4, 2**14
_LONG_RUN_STEPS, _LARGEST_FACTOR = 30_000, 10.0
_LONGEST_WARMUP_STEPS = 1000
_WARMUP_FRACTION = 0.05
_DECAY_FRACTIONS = {"constant": 0.0, "linear": 0.2, "cosine": 1.0}


def default_rate(n_latents: int, n_steps: int) -> float:
    """Peak learning rate for an SAE of that width in a run of that length: the rule at the top of this file.

    For losses and inputs of the scale we train at (variance 1, so that Adam's steps are those of the paper).
    """
    shortness = math.sqrt(_LONG_RUN_STEPS / n_steps)
    return _RATE / math.sqrt(n_latents / _LATENTS) * min(_LARGEST_FACTOR, max(1.0, shortness))


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
