"""How smooth signals are: sums over each stretch of text, and the metrics as formulas over them.

A stretch holds neighbouring tokens of one document, so no number crosses a document's border. Latents that do not fire in a
stretch add nothing to it. All is computed from the entries of the codes, in float64.

Letters: N entries, A series (a latent in a stretch in which it fires), G stretches, T tokens of a stretch.
Source of the six ideas: T-SAE's `evaluation.py`; the forms here are per token and do not depend on how text was packed. Its own
numbers are in `_smoothness_as_tsae`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._formula import formula
from monoseme.evaluation._signals import Changes, Series, binned, changes
from monoseme.evaluation._smoothness_spectrum import energy
from monoseme.tensors.shapes import Bool, Float, Tensor

_FAR = 8
"""The largest lag (tokens), and the length of a whole wavelet of three levels."""
WINDOW = 32
"""Tokens of a window in which latents are counted."""


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


class Variations(NamedTuple):
    """Of each series."""

    tv: Float[Tensor, " A"]
    """sum |f_t - f_(t-1)|"""
    level: Float[Tensor, " A"]
    """sum (|f_t| + |f_(t-1)|) / 2"""
    shuffled: Float[Tensor, " A"]
    """The total variation that its tokens have on average in random order."""


def variations(of: Series, near: Changes) -> Variations:
    """What `near`, the changes over one token, amount to."""
    return Variations(near.sums(of, torch.abs), _levels(of), _shuffled_tv(of))


def stretch_sums(
    of: Series, near: Changes, found: Variations, moved: Float[Tensor, " rows_less_1"]
) -> dict[str, Float[Tensor, " G"]]:
    """What the formulas below need of each stretch; `moved` is the distance between the activations of neighbouring rows."""
    far = changes(of, _FAR)
    sums = {"n": of.lengths.double(), "transitions": (of.lengths - 1).double()}
    sums |= {name: of.per_stretch(value) for name, value in found._asdict().items()}
    sums |= _total("lipschitz", of, steepest(of, near, moved))
    sums |= _total("fft", of, _fast_share(of))
    sums |= _total("wavelet", of, _detail_share(of))
    return sums | _lags(of, near, far) | _windows(of)


def _total(name: str, of: Series, per_series: Float[Tensor, " A"]) -> dict[str, Float[Tensor, " G"]]:
    """Sum over the series that have the number, and how many these are."""
    has = per_series.isfinite()
    return {name: of.per_stretch(per_series.where(has, 0.0)), f"has_{name}": of.per_stretch(has.double())}


def _levels(of: Series) -> Float[Tensor, " A"]:
    """sum (|f_t| + |f_(t-1)|) / 2 over the transitions: every token counts half for each neighbour that it has."""
    neighbours = (of.time > 0).double() + (of.time + 1 < of.length[of.series])
    return of.per_series(of.value.abs() * neighbours / 2)


def _shuffled_tv(of: Series) -> Float[Tensor, " A"]:
    """The total variation that the tokens would have in random order: (2 / T) times the sum of |f_t - f_u| over all pairs.

    Over values sorted, silence among them, that sum is sum_i (2 i - T + 1) f_(i), in which zeros add nothing.
    """
    order = of.value.argsort(stable=True)
    order = order[of.series[order].argsort(stable=True)]  # by series, then by value
    value, length = of.value[order], of.length[of.series]
    place = torch.arange(len(value)) - of.first[of.series]
    n_silent = length - of.first.diff()[of.series]
    rank = place + n_silent.where(value > 0, 0)
    return of.per_series((2 * rank - length + 1) * value) * 2 / of.length


def steepest(of: Series, near: Changes, moved: Float[Tensor, " rows_less_1"]) -> Float[Tensor, " A"]:
    """Largest |change| of each series per distance of x, over the transitions in which x moves; NaN where it never does."""
    row = (of.starts[of.stretch] - 1)[of.series] + of.time  # of `moved`: how x came to the entry's token
    # Changes that do not take place may point to before the first row or behind the last one.
    padded = torch.cat([moved.new_zeros(1), moved, moved.new_zeros(1)])
    slopes = (ratio(near.to.abs(), padded[row + 1]), ratio(near.away.abs(), padded[row + 2]))
    peak = of.largest(torch.maximum(*(slope.nan_to_num(nan=0.0) for slope in slopes)))
    return peak.where(_does_move(of, moved)[of.stretch], torch.nan)


def _does_move(of: Series, moved: Float[Tensor, " rows_less_1"]) -> Bool[Tensor, " G"]:
    """Whether x moves anywhere within each stretch."""
    stretch = torch.repeat_interleave(of.lengths)
    within = (moved > 0) & (stretch.diff() == 0)
    return torch.bincount(stretch[1:][within], minlength=len(of.lengths)) > 0


def _fast_share(of: Series) -> Float[Tensor, " A"]:
    """Share of each series' energy above half the Nyquist frequency; NaN for a single token."""
    whole = of.per_series(of.value.square()) * of.length
    return ratio(energy(of, _fast_bins), whole).where(of.length > 1, torch.nan)


def _fast_bins(n_tokens: int) -> Float[Tensor, " K"]:
    """Each bin of a real signal stands for two frequencies, but for the constant and, if T is even, the last one."""
    bins = torch.arange(n_tokens // 2 + 1)
    return (bins * 4 > n_tokens).double() * (2 - (2 * bins == n_tokens).double())


def _detail_share(of: Series) -> Float[Tensor, " A"]:
    """Share of energy in the three finest levels of an orthonormal Haar wavelet, over the first whole multiple of 8 tokens."""
    inside = of.time < of.length[of.series] // _FAR * _FAR
    series, time, value = of.series[inside], of.time[inside], of.value[inside]
    blocks, place = (series * (1 + of.longest) + time // _FAR).unique_consecutive(return_inverse=True)
    rest = binned(place, value, len(blocks)).square() / _FAR
    whole = binned(series, value.square(), of.n_series)
    kept = binned(blocks // (1 + of.longest), rest, of.n_series)
    return ratio(whole - kept, whole)


def _lags(of: Series, near: Changes, far: Changes) -> dict[str, Float[Tensor, " G"]]:
    """Differences over one token and over eight, from stretches long enough for both."""
    long = of.lengths > _FAR
    found: dict[str, Tensor] = {}
    for name, some in (("near", near), ("far", far)):
        squares = of.per_stretch(some.sums(of, torch.square))
        found[f"{name}_n"] = (of.lengths - some.lag).where(long, 0).double()
        found[f"{name}_squares"] = squares.where(long, 0.0)
        found[f"{name}_sizes"] = of.per_stretch(some.sums(of, torch.abs)).where(long, 0.0) / some.lag
    return found


def _windows(of: Series) -> dict[str, Float[Tensor, " G"]]:
    """Whole windows of each stretch, the latents that fire anywhere in each, and the firings in them."""
    n_windows = of.lengths // WINDOW
    inside = of.time < (n_windows * WINDOW)[of.stretch][of.series]
    firings = of.per_series(inside.double())
    met = (of.series * (1 + of.longest) + of.time // WINDOW)[inside].unique_consecutive() // (1 + of.longest)
    latents = torch.bincount(met, minlength=of.n_series).double()
    return {"windows": n_windows.double(), "window_latents": of.per_stretch(latents), "window_firings": of.per_stretch(firings)}


def _mean(name: str, count: str) -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(s[name], s[count])


def _near_to_far(name: str) -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(ratio(s[f"near_{name}"], s["near_n"]), ratio(s[f"far_{name}"], s["far_n"]))


_ALONE = "no two unmasked tokens of a document follow one another"
_SHORT = f"no latent fires and changes within a stretch of {_FAR + 1} tokens"
_NO_WINDOW = f"no stretch of a document has {WINDOW} unmasked tokens that follow one another"

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
        "0 where nothing changes, 2 where neighbouring tokens share no latent. A latent that fires often has less by chance "
        "alone.",
        _mean("tv", "level"),
        unit="ratio",
        better="lower",
        counted="transitions",
        why_missing="no latent fires at two unmasked tokens that follow one another, or on either",
    ),
    formula(
        "smoothness_tv_to_shuffled",
        "Total variation / what it would be on average with the tokens of each stretch in random order, exactly: "
        "(2/T) Σ_(t<u) |f_t − f_u|. 1 where the order of tokens does not matter, however often latents fire; 0 where nothing "
        "changes but in one step. A latent that is constant over a stretch adds to neither.",
        _mean("tv", "shuffled"),
        unit="ratio",
        better="lower",
        counted="transitions",
        why_missing="no latent fires on some, but not all, of the tokens of a stretch",
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
    formula(
        "smoothness_sequence_l0",
        f"Latents that fire anywhere in {WINDOW} neighbouring tokens: mean over the whole windows of each stretch of a document, "
        "cut from its beginning.",
        _mean("window_latents", "windows"),
        unit="latents",
        better="lower",
        counted="windows",
        why_missing=_NO_WINDOW,
    ),
    formula(
        "smoothness_sequence_l0_relative",
        f"The same / the mean L0 of a token in these windows. 1 where all {WINDOW} tokens share their latents, {WINDOW} where no "
        "two do.",
        lambda s: WINDOW * ratio(s["window_latents"], s["window_firings"]),
        unit="ratio",
        better="lower",
        counted="windows",
        why_missing=f"no latent fires in {WINDOW} unmasked tokens of a document that follow one another",
    ),
)
"""Metrics of codes over time; each also exists per part."""
