"""How smooth signals are: sums over one stretch of text, and the metrics as formulas over them.

A stretch holds neighbouring tokens of one document, so no number crosses a document's border. Latents that do not fire in a
stretch add nothing to it.

Letters: A latents that fire in the stretch, T its tokens.
Source of the six ideas: T-SAE's `evaluation.py`; the forms here are per token and do not depend on how text was packed. Its own
numbers are in `_smoothness_as_tsae`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._formula import formula
from monoseme.tensors.shapes import Float, Tensor

_FAR = 8
"""The largest lag (tokens), and the length of a whole wavelet of three levels."""


class Variation(NamedTuple):
    """How far signals go up and down, summed over latents and transitions."""

    tv: float
    """sum |f_t - f_(t-1)|"""
    level: float
    """sum (|f_t| + |f_(t-1)|) / 2"""


def variation(signals: Float[Tensor, "A T"]) -> Variation:
    """Total variation, and what it is to be compared with."""
    size = signals.abs()
    return Variation(float(signals.diff(dim=1).abs().sum()), float((size[:, 1:] + size[:, :-1]).sum() / 2))


def stretch_sums(signals: Float[Tensor, "A T"], moved: Float[Tensor, " T_less_1"]) -> dict[str, float]:
    """What the formulas below need of a stretch; `moved` is the distance between neighbouring activations."""
    n_tokens = signals.shape[1]
    found = variation(signals)
    sums = {"n": float(n_tokens), "transitions": float(n_tokens - 1), "tv": found.tv, "level": found.level}
    sums |= _total("lipschitz", steepest(signals, moved))
    sums |= _total("fft", _fast_share(signals))
    sums |= _total("wavelet", _detail_share(signals))
    return sums | _lags(signals)


def _total(name: str, per_latent: Float[Tensor, " A"]) -> dict[str, float]:
    """Sum over the latents that have the number, and how many these are."""
    has = per_latent.isfinite()
    return {name: float(per_latent[has].sum()), f"has_{name}": float(has.sum())}


def steepest(signals: Float[Tensor, "A T"], moved: Float[Tensor, " T_less_1"]) -> Float[Tensor, " A"]:
    """Largest |change| of each latent per distance of x, over the transitions in which x moves; NaN where it never does."""
    does = moved > 0
    if not bool(does.any()):
        return signals.new_full(signals.shape[:1], torch.nan)
    return (signals.diff(dim=1).abs()[:, does] / moved[does]).amax(1)


def _fast_share(signals: Float[Tensor, "A T"]) -> Float[Tensor, " A"]:
    """Share of each latent's energy above half the Nyquist frequency; NaN for a single token."""
    n_tokens = signals.shape[1]
    if n_tokens < 2 or not len(signals):  # torch has no FFT of nothing
        return signals.new_full(signals.shape[:1], torch.nan)
    power = torch.fft.rfft(signals, dim=1).abs().square()
    # Each bin of a real signal stands for two frequencies, but for the constant and, if T is even, the last one.
    power[:, 1 : (n_tokens + 1) // 2] *= 2
    is_fast = torch.arange(power.shape[1]) * 4 > n_tokens
    return ratio(power[:, is_fast].sum(1), power.sum(1))


def _detail_share(signals: Float[Tensor, "A T"]) -> Float[Tensor, " A"]:
    """Share of energy in the three finest levels of a Haar wavelet, over the first whole multiple of 8 tokens."""
    rest = signals[:, : signals.shape[1] // _FAR * _FAR]
    energy = rest.square().sum(1)
    for _ in range(3):
        rest = (rest[:, ::2] + rest[:, 1::2]) / math.sqrt(2)
    return ratio(energy - rest.square().sum(1), energy)


def _lags(signals: Float[Tensor, "A T"]) -> dict[str, float]:
    """Differences over one token and over eight, from stretches long enough for both."""
    if signals.shape[1] <= _FAR:
        return dict.fromkeys(("near_n", "near_squares", "near_sizes", "far_n", "far_squares", "far_sizes"), 0.0)
    near, far = signals.diff(dim=1), signals[:, _FAR:] - signals[:, :-_FAR]
    return {
        "near_n": float(near.shape[1]),
        "near_squares": float(near.square().sum()),
        "near_sizes": float(near.abs().sum()),
        "far_n": float(far.shape[1]),
        "far_squares": float(far.square().sum()),
        "far_sizes": float(far.abs().sum()) / _FAR,
    }


def _mean(name: str, count: str) -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(s[name], s[count])


def _near_to_far(name: str) -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(ratio(s[f"near_{name}"], s["near_n"]), ratio(s[f"far_{name}"], s["far_n"]))


_ALONE = "no two unmasked tokens of a document follow one another"
_SHORT = f"no latent fires and changes within a stretch of {_FAR + 1} tokens"

SMOOTHNESS = (
    formula(
        "smoothness_tv",
        "Total variation per transition: mean over neighbouring tokens of one document of Σ_j |f_t − f_(t−1)|. It grows with the "
        "size of the codes, so SAEs are compared by smoothness_tv_relative.",
        _mean("tv", "transitions"),
        unit="activation",
        better="lower",
        counted="transitions",
        why_missing=_ALONE,
    ),
    formula(
        "smoothness_tv_relative",
        "Total variation as a share of the activation: Σ |f_t − f_(t−1)| / Σ (|f_t| + |f_(t−1)|)/2 over latents and transitions. "
        "0 where nothing changes, 2 where neighbouring tokens share no latent.",
        _mean("tv", "level"),
        unit="ratio",
        better="lower",
        counted="transitions",
        why_missing="no latent fires at two unmasked tokens that follow one another, or on either",
    ),
    formula(
        "smoothness_lipschitz",
        "Mean over stretches of a document and latents that fire there of max_t |f_t − f_(t−1)| / ‖x_t − x_(t−1)‖. Transitions "
        "in which x does not move are left out.",
        _mean("lipschitz", "has_lipschitz"),
        unit="ratio",
        better="lower",
        counted="has_lipschitz",
        why_missing="no latent fires where x moves from one token to the next",
    ),
    formula(
        "smoothness_fft",
        "Mean over stretches and latents that fire there of the share of the signal's energy above half the Nyquist frequency. "
        "The constant part counts as slow: 0 for a constant, about 1/2 for noise without mean.",
        _mean("fft", "has_fft"),
        unit="fraction",
        better="lower",
        counted="has_fft",
        why_missing="no latent fires within a stretch of two tokens",
    ),
    formula(
        "smoothness_wavelet",
        "Mean over stretches and latents that fire there of the share of the signal's energy in the three finest levels of an "
        "orthonormal Haar wavelet (changes within 8 tokens). A stretch counts up to a multiple of 8 tokens.",
        _mean("wavelet", "has_wavelet"),
        unit="fraction",
        better="lower",
        counted="has_wavelet",
        why_missing=f"no latent fires within a stretch of {_FAR} tokens",
    ),
    formula(
        "smoothness_multiscale_variance",
        "Mean squared change over 1 token / over 8 tokens, over latents and the stretches of at least 9 tokens. 1 for noise, 1/8 "
        "for a random walk, less for what drifts.",
        _near_to_far("squares"),
        unit="ratio",
        better="lower",
        counted="near_n",
        why_missing=_SHORT,
    ),
    formula(
        "smoothness_multiscale_gradient",
        "Mean absolute change per token over 1 token / over 8 tokens, over the same. 8 for noise, 1 for a steady drift.",
        _near_to_far("sizes"),
        unit="ratio",
        better="lower",
        counted="near_n",
        why_missing=_SHORT,
    ),
)
"""Metrics of codes over time; each also exists per part."""
