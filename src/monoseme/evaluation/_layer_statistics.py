"""The distribution of a latent over sites, P(L | J), and the numbers that describe its shape.

Letters: L sites, F latents.
Source: MLSAE's analyses `dists`, `entropy` and `bimodality`; Pfister et al. 2013, "Good things peak in pairs" (coefficient).
Hartigan's dip is not here: it is at least half the largest P(l | j), whatever the shape, so that with a dozen layers it says how
coarse the axis is. The valley says what was meant.
"""

from typing import NamedTuple

import torch

from monoseme.evaluation._bootstrap import ratio
from monoseme.tensors.shapes import Float, Tensor


class LayerStatistics(NamedTuple):
    """P(L | J) of every latent; NaN for one that has no activation."""

    probs: Float[Tensor, "L F"]
    mean: Float[Tensor, " F"]
    var: Float[Tensor, " F"]
    entropy: Float[Tensor, " F"]
    """In nats."""
    n_layers: Float[Tensor, " F"]
    """Sites with any activation."""


class Shape(NamedTuple):
    """Of P(L | J); NaN where all activation is at one site, which has no shape."""

    skewness: Float[Tensor, " F"]
    kurtosis: Float[Tensor, " F"]
    """E (L - mean)⁴ / var²: 3 for a normal distribution, 1 for two equal peaks."""
    bimodality: Float[Tensor, " F"]
    """(skewness² + 1) / kurtosis, in (0, 1]: 5/9 for a uniform distribution, 1 for any two points."""
    valley: Float[Tensor, " F"]
    """How deep P(l | j) sinks between two peaks, below the lower one: 0 exactly where it has one peak, at most 1/2."""


def layer_statistics(totals: Float[Tensor, "L F"], position: Float[Tensor, " L"]) -> LayerStatistics:
    """From the activation at each site; `position` is what means and variances are of. Never negative, unlike E L² − (E L)²."""
    probs = ratio(totals, totals.sum(0).expand_as(totals))
    mean = (position[:, None] * probs).sum(0)
    var = ((position[:, None] - mean).square() * probs).sum(0)
    entropy = -torch.where(probs > 0, probs * probs.log(), probs).sum(0)
    return LayerStatistics(probs, mean, var, entropy, torch.where(mean.isfinite(), (totals > 0).double().sum(0), torch.nan))


def shape_of(found: LayerStatistics, position: Float[Tensor, " L"]) -> Shape:
    """How the distributions are bent: population moments, as upstream takes them."""
    gap = position[:, None] - found.mean
    skewness = ratio((gap.pow(3) * found.probs).sum(0), found.var.pow(1.5))
    kurtosis = ratio((gap.pow(4) * found.probs).sum(0), found.var.square())
    before, after = found.probs.cummax(0).values, found.probs.flip(0).cummax(0).values.flip(0)
    valley = (torch.minimum(before, after) - found.probs).amax(0)
    return Shape(skewness, kurtosis, (skewness.square() + 1) / kurtosis, torch.where(found.var > 0, valley, torch.nan))
