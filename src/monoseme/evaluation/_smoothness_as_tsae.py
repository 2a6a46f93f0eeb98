"""Smoothness as T-SAE's own `evaluation.py` measures it, for comparison with its tables.

Each context is one signal, whatever documents it holds; numbers are made per context and averaged over contexts.

Letters: A latents that fire in the context, T its unmasked tokens.
Source: AI4LIFE-GROUP/temporal-saes, `evaluation.py`. Its groups beyond the second are mixed up there; parts are kept apart here.
"""

import torch

from monoseme.evaluation._bootstrap import ratio
from monoseme.evaluation._formula import Formula, formula
from monoseme.evaluation._signals import Changes, Series, binned, changes
from monoseme.evaluation._smoothness_spectrum import energy
from monoseme.evaluation._smoothness_sums import steepest
from monoseme.tensors.shapes import Float, Int, Tensor

_EPS = 1e-10
_LAGS = (1, 2, 4, 8)
_LEVELS = 3


def context_sums(of: Series, near: Changes, moved: Float[Tensor, " rows_less_1"]) -> dict[str, Float[Tensor, " G"]]:
    """Each number of each context with `has_*` 1, or 0 with 0 where it does not exist there; a stretch is a whole context.

    `near` is the changes over one token.
    """
    numbers = {
        "tv": of.per_stretch(near.sums(of, torch.abs)),
        "l0": of.per_stretch(torch.ones(of.n_series, dtype=torch.float64)),
        "lipschitz": _mean(of, steepest(of, near, moved)),
        "fft": _mean(of, _fft(of)).where(of.lengths > 1, torch.nan),
        "wavelet": _wavelet(of),
    }
    numbers |= _multiscale(of, near)
    found: dict[str, Tensor] = {}
    for name, value in numbers.items():
        exists = value.isfinite()
        found |= {f"tsae_{name}": value.where(exists, 0.0), f"has_tsae_{name}": exists.double()}
    return found


def _mean(of: Series, per_series: Float[Tensor, " A"]) -> Float[Tensor, " G"]:
    """Mean over the latents that fire in each context; NaN where none does."""
    return ratio(of.per_stretch(per_series), of.per_stretch(torch.ones_like(per_series)))


def _fft(of: Series) -> Float[Tensor, " A"]:
    lower = energy(of, _lower_bins)
    # Parseval: all T frequencies hold T times the squares. A real signal's come in pairs, but for the first and, if T is even,
    # the last one, which is that of its signs in turn.
    signs = torch.where(of.time % 2 == 0, 1.0, -1.0).double()
    last = of.per_series(of.value * signs).where(of.length % 2 == 0, 0.0)
    whole = (of.length * of.per_series(of.value.square()) + of.per_series(of.value).square() + last.square()) / 2
    return (whole - lower).clamp(min=0) / (lower + _EPS)


def _lower_bins(n_tokens: int) -> Float[Tensor, " K"]:
    n_bins = n_tokens // 2 + 1
    return (torch.arange(n_bins) < n_bins // 2).double()


def _wavelet(of: Series) -> Float[Tensor, " G"]:
    """Of two neighbours, ((a - b) / 2)^2 + ((a + b) / 2)^2 = (a^2 + b^2) / 2: details are what averages lose of the energy."""
    detail = torch.zeros(of.n_series, dtype=torch.float64)
    rest = of.per_series(of.value.square())
    finer = _Averages(of, 0)
    for level in range(1, _LEVELS + 1):
        n_pairs = of.length >> level
        halves, averages = finer.energy(2 * n_pairs) / 2, _Averages(of, level)
        energy_left = averages.energy(n_pairs)
        detail += (halves - energy_left).clamp(min=0)  # of a context too short for a pair, 0
        rest, finer = torch.where(n_pairs > 0, energy_left, rest), averages
    return ratio(of.per_stretch(detail), of.per_stretch(rest))


class _Averages:
    """Means over blocks of 2^level tokens in which a signal is not silent."""

    def __init__(self, of: Series, level: int) -> None:
        n_blocks = of.longest + 1
        blocks, place = (of.series * n_blocks + (of.time >> level)).unique_consecutive(return_inverse=True)
        self._squares = binned(place, of.value / (1 << level), len(blocks)).square()
        self._series, self._block = blocks // n_blocks, blocks % n_blocks

    def energy(self, n_blocks: Int[Tensor, " A"]) -> Float[Tensor, " A"]:
        """Sum of squares over the first blocks of each series."""
        squares = torch.where(self._block < n_blocks[self._series], self._squares, 0.0)
        return binned(self._series, squares, len(n_blocks))


def _multiscale(of: Series, near: Changes) -> dict[str, Float[Tensor, " G"]]:
    """The scales of the smallest lag and of the largest that fits into each context, as ratios."""
    lags = torch.tensor(_LAGS)
    last = torch.searchsorted(lags, of.lengths) - 1  # the largest lag below T; -1 where there is none
    scales = {i: _scales(of, near if i == 0 else changes(of, _LAGS[i])) for i in {0, *last.clamp(min=0).tolist()}}
    found: dict[str, Tensor] = {}
    for name in ("variance", "gradient"):
        far = torch.full(of.lengths.shape, torch.nan, dtype=torch.float64)
        for i, scale in scales.items():
            far = torch.where(last == i, scale[name], far)
        found[f"multiscale_{name}"] = ratio(scales[0][name], far)
    return found


def _scales(of: Series, found: Changes) -> dict[str, Float[Tensor, " G"]]:
    n = (of.length - found.lag).double()
    squares, sums, sizes = (found.sums(of, function) for function in (torch.square, torch.Tensor.double, torch.abs))
    # The unbiased variance of a single difference does not exist.
    variance = ratio((squares - sums.square() / n).clamp(min=0), n - 1)
    return {"variance": _mean(of, variance), "gradient": _mean(of, ratio(sizes, n) / found.lag)}


def _of(name: str, text: str, *, unit: str) -> Formula:
    return formula(
        f"smoothness_{name}_as_tsae",
        f"T-SAE's {text}, whole contexts across documents; mean over contexts.",
        lambda s: ratio(s[f"tsae_{name}"], s[f"has_tsae_{name}"]),
        unit=unit,
        better="lower",
        counted=f"has_tsae_{name}",
        why_missing="no context has this number: too few tokens, or no latent fires",
    )


AS_TSAE = (
    _of("tv", "`smoothness_tv`: Σ_t Σ_j |f_t − f_(t−1)|, not divided by the number of tokens", unit="activation"),
    _of("lipschitz", "`lipschitz_cont`: mean over active latents of max_t |Δf_t| / ‖Δx_t‖", unit="ratio"),
    _of(
        "fft", "`fft`: mean over active latents of energy in the upper half of the rfft's bins / in the lower half", unit="ratio"
    ),
    _of("wavelet", "`wavelet`: Σ detail energy of three levels of (even ± odd)/2 / Σ energy of the last average", unit="ratio"),
    _of(
        "multiscale_variance",
        "`multiscale`: mean over active latents of var_t(f_(t+s) − f_t), smallest lag / largest of 1, 2, 4, 8 that fits",
        unit="ratio",
    ),
    _of("multiscale_gradient", "`multiscale` in its mode `gradient`: the same of mean |f_(t+s) − f_t| / s", unit="ratio"),
    _of("l0", "`sequence_l0`: number of latents that fire anywhere in the context", unit="latents"),
)
"""T-SAE's numbers. A context counts with the weight of its first document in the bootstrap."""
