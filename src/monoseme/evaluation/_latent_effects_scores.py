"""TPP and SCR: how selectively ablated latents take one class away, and how well they take a spurious cue out of a probe.

Both are in units of accuracy; every function takes any further trailing axes, such as weightings of the examples.

Source: Karvonen et al. 2025 (SAEBench), arXiv:2503.09532.
Differs: accuracies are weighted, so that no negatives need to be drawn; what has no value is NaN, where SAEBench's code gives 0.
Letters: E examples, P probes, N numbers of latents, W weightings.
"""

from typing import NamedTuple

import numpy as np

from monoseme.evaluation._latent_effects import Bools, Floats

LEAST_HARM = 0.001
"""Accuracy that a spurious cue must have cost for its removal to be measured; SAEBench's bound."""


def accuracies(logits: Floats, is_positive: Bools, weights: Floats) -> Floats:
    """[..., W]: weighted share of examples that logits [..., E] put on their side; a logit of 0 is on the negative one.

    `weights` [E, W]; NaN where a weighting holds no example.
    """
    right = (logits > 0) == is_positive
    total = weights.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return right.astype(np.float64) @ weights / np.where(total > 0, total, np.nan)


class Perturbation(NamedTuple):
    """What ablating the latents of each class does, [P, N, ...] each."""

    intended: Floats
    """Accuracy that the probe of the class itself loses."""
    unintended: Floats
    """Accuracy that the other probes lose, mean over them."""

    @property
    def tpp(self) -> Floats:
        """The difference: large where a class can be taken away alone."""
        return self.intended - self.unintended


def perturbation(clean: Floats, ablated: Floats) -> Perturbation:
    """From accuracies [P, ...] and, after the latents of class c are ablated, [P (c), N, P (probe), ...].

    The TPP of an SAE is the mean of `tpp` over classes. Needs two probes or more.
    """
    lost = clean[None, None] - ablated
    n_probes = len(clean)
    intended = np.stack([lost[c, :, c] for c in range(n_probes)])
    return Perturbation(intended, (lost.sum(2) - intended) / (n_probes - 1))


def removal(changed: Floats, original: Floats, clean: Floats) -> Floats:
    """SCR: the share of the accuracy that a spurious cue cost which is won back; 1 is all, below 0 is worse than before.

    (changed - original) / (clean - original); NaN where the cue cost less than `LEAST_HARM`.
    """
    harm = clean - original
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(harm < LEAST_HARM, np.nan, (changed - original) / harm)


def headline(directions: Floats, originals: Floats) -> Floats:
    """The score of the direction [2, ...] that the biased probe was worse at before (accuracies [2]); the mean of both in a tie.

    SAEBench's code has no score at all in a tie.
    """
    if originals[0] == originals[1]:
        return directions.mean(0)
    return directions[int(originals[1] < originals[0])]
