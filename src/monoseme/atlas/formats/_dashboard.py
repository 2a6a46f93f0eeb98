"""A latent as dashboards show it: statistics, bars of its histogram, tables of tokens, rows of examples.

SAEDashboard 0.8 and Neuronpedia share these fields. What ours mean where the tools leave it open:

| field | here |
|---|---|
| `frac_nonzero` | exact density (SAEDashboard reads it from the title of a figure, to 3 or 4 digits) |
| `freq_hist_data_bar_*` | 50 bars up to the largest activation; counts of our logarithmic bins, spread evenly inside each |
| `pos_str`, `neg_str` | direct logit attribution with the final norm's scale, which SAEDashboard leaves out |
| `bin_min`, `bin_max`, `bin_contains` | a tenth of the firings by rank, so 0.1; SAEDashboard cuts intervals of equal width |
| `correlated_features_*` | of the kept codes, if latents were related; `_l1`, by which SAEDashboard means a cosine, is empty |

Numbers have five significant digits: fixed decimals, as SAEDashboard has them, make small activations zero.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.formats._part import ExportedLatent, ExportPart
from monoseme.atlas.pages import Example, Histogram, TokenLogit

N_BARS = 50
"""Bars of a histogram, as SAEDashboard has them."""
_N_TOKENS = 10
_N_ALIGNED = 3
_N_CORRELATED = 3
_TOP = -1


class Bars(NamedTuple):
    """A histogram with bars of equal width."""

    values: tuple[float, ...]
    """Middle of each bar."""
    heights: tuple[float, ...]
    """Firings in each bar (count); a fraction where a logarithmic bin was cut."""


def linear_bars(histogram: Histogram | None, maximum: float | None, *, n_bars: int = N_BARS) -> Bars:
    """A logarithmic histogram in `n_bars` of equal width, up to the largest activation; the sum of the counts stays.

    Inside a bin (at most 25 % wide) firings are taken to lie evenly. Empty for a latent that never fired.
    """
    if histogram is None or maximum is None:
        return Bars((), ())
    edges = np.array(histogram.edges, dtype=np.float64)
    edges[-1] = max(maximum, np.nextafter(edges[-2], np.inf))  # the last bin ends where the firings do
    below = np.concatenate([[0.0], np.cumsum(histogram.counts, dtype=np.float64)])
    cuts = np.linspace(edges[0], edges[-1], n_bars + 1)
    heights = np.diff(np.interp(cuts, edges, below))
    middles = (cuts[1:] + cuts[:-1]) / 2
    return Bars(tuple(shortened(middles.tolist())), tuple(shortened(heights.tolist())))


def shortened(values: Sequence[float]) -> list[float]:
    """Numbers with five significant digits."""
    return [float(f"{value:.5g}") for value in values]


def feature_fields(page: ExportedLatent, part: ExportPart) -> dict[str, Any]:
    """The fields of a feature that SAEDashboard and Neuronpedia call alike; what is not known is an empty list, as with them."""
    bars = linear_bars(page.histogram, page.stats.max)
    vector = None if part.decoder is None else part.decoder[page.latent]
    return {
        **_alignment(vector),
        "correlated_neurons_indices": [],
        "correlated_neurons_pearson": [],
        "correlated_neurons_l1": [],
        **_correlated(page, part),
        **_tokens("neg", page.bottom_logits),
        **_tokens("pos", page.top_logits),
        "frac_nonzero": page.stats.density,
        "freq_hist_data_bar_heights": list(bars.heights),
        "freq_hist_data_bar_values": list(bars.values),
        "logits_hist_data_bar_heights": [],
        "logits_hist_data_bar_values": [],
        "decoder_weights_dist": [],
        "vector": [] if vector is None else shortened(vector.tolist()),
    }


class ActivationRow(NamedTuple):
    """An example of a latent as dashboards file it."""

    tokens: list[str]
    values: list[float]
    """Activation on each token; 0 for one that is kept from the SAE."""
    focus: int
    bin_min: float
    bin_max: float
    bin_contains: float


def activation_rows(page: ExportedLatent) -> list[ActivationRow]:
    """The strongest examples (bin_min and bin_contains -1), then those of each tenth, the strongest tenth first."""
    top = [_row(example, _TOP, page.stats.max or 0.0, _TOP) for example in page.top]
    tenths = [
        _row(example, decile.low, decile.high, 1 / len(page.deciles))
        for decile in reversed(page.deciles)
        for example in decile.examples
    ]
    return top + tenths


def _row(example: Example, low: float, high: float, share: float) -> ActivationRow:
    values = shortened([value or 0.0 for value in example.values])
    low, high = shortened([low, high])
    return ActivationRow(list(example.texts), values, example.focus, low, high, share)


def _correlated(page: ExportedLatent, part: ExportPart) -> dict[str, Any]:
    """The latents whose activations go most with this one's."""
    related = part.relations.of(page.latent)["correlation_rank"] if part.relations else ()
    known = [(one.other, one.correlation) for one in related if one.correlation is not None][:_N_CORRELATED]
    return {
        "correlated_features_indices": [other for other, _ in known],
        "correlated_features_pearson": shortened([correlation for _, correlation in known]),
        "correlated_features_l1": [],
    }


def _tokens(end: str, logits: Sequence[TokenLogit]) -> dict[str, Any]:
    shown = logits[:_N_TOKENS]
    return {f"{end}_str": [one.text for one in shown], f"{end}_values": shortened([one.logit for one in shown])}


def _alignment(vector: NDArray[np.float32] | None) -> dict[str, Any]:
    """The coordinates with the largest absolute weight, and their share of the sum of absolute weights."""
    names = ("neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1")
    if vector is None:
        return {name: [] for name in names}
    weights = np.abs(vector, dtype=np.float64)
    largest = np.argsort(-weights, kind="stable")[:_N_ALIGNED]
    shares = weights[largest] / max(float(weights.sum()), np.finfo(np.float64).tiny)
    return dict(zip(names, (largest.tolist(), shortened(vector[largest].tolist()), shortened(shares.tolist())), strict=True))
