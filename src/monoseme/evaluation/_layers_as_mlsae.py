"""The variances of MLSAE's own analysis `variances`, for comparison with its tables.

It averages P(L | J, T) over all tokens and latents alike, with zeros where a latent does not fire: what it takes the variance
of then sums to the share of tokens on which the latent fires, not to 1. So its variances shrink and grow with that share, change
when layers are numbered from another start, and obey no law of total variance. `_layer_sums` has the sound ones.

Letters: L sites numbered from 0, F latents.
"""

from collections.abc import Mapping

import torch

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._formula import Formula, formula
from monoseme.evaluation._metric import Better
from monoseme.kernels.layer_sums import TokenSums
from monoseme.tensors.shapes import Float, Tensor

BATCH_NUMBERS = {"l": "var_l", "l_f": "exp_var_l_f", "l_tf": "exp_var_l_tf", "f": "rel_var_f", "t": "rel_var_t"}
"""Key here -> MLSAE's name."""


def batch_numbers(sums: TokenSums, *, n_tokens: int) -> dict[str, Float[Tensor, ""]]:
    """The numbers of one batch by their keys; NaN where one does not exist."""
    n_layers, n_latents = sums.shares.shape
    q, position = sums.shares / n_tokens, torch.arange(n_layers, dtype=torch.float64)
    of_firing = sums.n_site_spread / (n_tokens * n_latents)
    of_latent, of_all = _variance(q, position).mean(), _variance(q.mean(1, keepdim=True), position)[0]
    return {"l": of_all, "l_f": of_latent, "l_tf": of_firing, "f": ratio(of_latent, of_all), "t": ratio(of_firing, of_latent)}


def batch_sums(numbers: Mapping[str, Float[Tensor, ""]]) -> WeightedSums:
    """What the formulas take; batches have no replicates."""
    made = WeightedSums()
    for name, value in numbers.items():
        made.add(f"mlsae_{name}", value.nan_to_num(nan=0.0).reshape(1))
        made.add(f"has_mlsae_{name}", value.isfinite().double().reshape(1))
    return made


def _variance(q: Float[Tensor, "L _"], position: Float[Tensor, " L"]) -> Float[Tensor, " _"]:
    """E L² − (E L)², also of what does not sum to 1."""
    return (position.square()[:, None] * q).sum(0) - (position[:, None] * q).sum(0).square()


def _of(name: str, key: str, text: str, *, unit: str = "layers²", better: Better = "neither") -> Formula:
    return formula(
        f"{name}_as_mlsae",
        f"MLSAE's `{name}`: {text}; mean over batches. Tokens on which a latent does not fire enter its distribution as zeros.",
        lambda s: ratio(s[f"mlsae_{key}"], s[f"has_mlsae_{key}"]),
        unit=unit,
        better=better,
        counted=f"has_mlsae_{key}",
        why_missing="no batch has this number: no latent fires, or all at one layer",
    )


AS_MLSAE = (
    _of("var_l", "l", "variance of the layer under the mean over tokens and latents of P(l | j, t)"),
    _of("exp_var_l_f", "l_f", "mean over latents of the variance under the mean over tokens of P(l | j, t)"),
    _of("exp_var_l_tf", "l_tf", "mean over tokens and latents of the variance under P(l | j, t)"),
    _of("rel_var_f", "f", "exp_var_l_f / var_l of each batch", unit="ratio"),
    _of("rel_var_t", "t", "exp_var_l_tf / exp_var_l_f of each batch", unit="ratio"),
)
"""MLSAE's variances; their n counts batches."""
