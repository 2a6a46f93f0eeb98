"""MMCS, the mean over latents of the largest cosine with another decoder row: how much a dictionary repeats itself, or another.

Source: Lawson et al. 2024, arXiv:2409.04185 (multi-layer SAEs), for one dictionary; Sharkey et al. 2022, "Taking features out of
superposition with sparse autoencoders", for two. Letters: F latents, D width.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from monoseme.evaluation._nearest import Nearest
from monoseme.tensors.shapes import Float, Tensor

MLSAE_CHUNKED_FROM = 16_384
"""Latents from which its code works in chunks."""


class Spread(NamedTuple):
    """A mean over latents, and how they spread; float64."""

    n: int
    """Latents that have a value."""
    mean: float | None
    """None: there is none."""
    var: float | None
    """Divided by n - 1; None with fewer than two."""
    std: float | None
    sem: float | None
    """std / sqrt(n). It takes latents for independent."""


def spread(values: np.ndarray) -> Spread:
    """Mean, variance, standard deviation and standard error of what is finite."""
    held = np.asarray(values, dtype=np.float64)
    held = held[np.isfinite(held)]
    n = len(held)
    if n < 2:
        return Spread(n, float(held[0]) if n else None, None, None, None)
    var = float(held.var(ddof=1))
    return Spread(n, float(held.mean()), var, math.sqrt(var), math.sqrt(var / n))


def mmcs(nearest: Nearest) -> Spread:
    """Of the largest cosines of a dictionary's latents."""
    return spread(nearest.similarity)


def largest_cosines_as_mlsae(directions: Float[Tensor, "F D"], *, chunk: int | None = None) -> Float[Tensor, " F"]:
    """What its code takes for each latent's largest cosine, in float64; `chunk` None is its branch for few latents.

    Few: a latent is compared with those of lower numbers only. In chunks: latent i of a chunk with the first i latents of the
    whole dictionary and with all chunks behind its own. What is masked counts as a cosine of 0, so no value is below that.
    Neither is the number that its paper defines, and the two differ.
    """
    unit = torch.nn.functional.normalize(directions.detach().cpu().double(), dim=1)
    n = len(unit)
    step = n if chunk is None else chunk
    found: list[Tensor] = []
    for start in range(0, n, max(1, step)):
        stop = min(start + step, n)
        cosines = unit[start:stop] @ unit.T
        within, column = torch.arange(stop - start).unsqueeze(1), torch.arange(n)
        is_kept = (column < within) | (column >= stop)
        found.append(torch.where(is_kept, cosines, 0.0).amax(1).clamp_min(0.0))
    return torch.cat(found) if found else unit.new_zeros(0)
