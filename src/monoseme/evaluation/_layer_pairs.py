"""Whether latents that write alike act at like layers: |difference of mean layers| against decoder cosine, over all pairs.

Both numbers are of the same pair; each pair counts once. (MLSAE's `dists_cos_sim_heatmaps` sorts the decoder by mean layer and
takes the differences in the old order, so that its two axes are of different pairs.)

Letters: F latents, D width, n rows at a time, R replicates, C cosine bins, G gap bins.
"""

from typing import NamedTuple

import torch

from monoseme.evaluation._bootstrap import ratio
from monoseme.tensors.shapes import Float, Int, Tensor

_ROWS = 512
"""Latents compared with all later ones at a time."""


class PairGrid(NamedTuple):
    """How pairs are spread over cosine and gap."""

    counts: Int[Tensor, "C G"]
    """Pairs; bins of equal width over [-1, 1] and over [0, largest gap]."""
    largest_gap: float
    correlation: Float[Tensor, " R1"]
    """Pearson's, of the cosine with the gap over pairs, first of all latents, then of resampled ones; NaN where undefined."""


@torch.no_grad()
def pair_grid(
    directions: Float[Tensor, "F D"],
    means: Float[Tensor, " F"],
    *,
    n_bins: tuple[int, int] = (80, 40),
    n_replicates: int = 100,
    rng: torch.Generator | None = None,
) -> PairGrid:
    """From decoder directions and mean layers (finite) of F latents; rows of zeros have no cosine and must be left out before.

    Replicates weight latents by Poisson(1): a pair counts as often as both its latents together do.
    """
    unit = torch.nn.functional.normalize(directions.double(), dim=1)
    means, n_latents = means.double(), len(means)
    largest = float(means.max() - means.min()) if n_latents else 0.0
    weights = torch.ones(n_latents, 1 + n_replicates, dtype=torch.float64)
    weights[:, 1:] = torch.poisson(weights[:, 1:], generator=rng)
    counts = torch.zeros(n_bins[0] * n_bins[1], dtype=torch.int64)
    moments = torch.zeros(6, 1 + n_replicates, dtype=torch.float64)
    for start in range(0, n_latents, _ROWS):
        rows = slice(start, min(start + _ROWS, n_latents))
        cosine = unit[rows] @ unit[start:].T
        gap = (means[rows, None] - means[None, start:]).abs()
        later = torch.ones_like(cosine).triu(1)
        place = _bin(cosine, -1.0, 1.0, n_bins[0]) * n_bins[1] + _bin(gap, 0.0, largest, n_bins[1])
        counts += torch.bincount(place[later.bool()], minlength=len(counts))
        for i, values in enumerate((later, cosine, gap, cosine.square(), gap.square(), cosine * gap)):
            moments[i] += (weights[rows] * ((values * later) @ weights[start:])).sum(0)
    return PairGrid(counts.reshape(n_bins), largest, _correlation(moments))


def _bin(values: Tensor, low: float, high: float, n: int) -> Tensor:
    width = (high - low) / n if high > low else 1.0
    return ((values - low) / width).long().clamp(0, n - 1)


def _correlation(moments: Float[Tensor, "6 R1"]) -> Float[Tensor, " R1"]:
    n, x, y, xx, yy, xy = moments
    x, y = ratio(x, n), ratio(y, n)
    spread = (ratio(xx, n) - x.square()).clamp(min=0) * (ratio(yy, n) - y.square()).clamp(min=0)
    return ratio(ratio(xy, n) - x * y, spread.sqrt())
