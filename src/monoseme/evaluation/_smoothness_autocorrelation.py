"""How long codes remember themselves: autocorrelation over tokens, and the time that it takes to die out.

The code of a token is a vector f_t, and m its mean over all tokens, not of the stretch: what holds over a whole text is slow, not
constant. With the mean over pairs of tokens of one stretch that are s apart,

    C(s) = mean <f_t - m, f_(t+s) - m>        r(s) = C(s) / C(0)

r is the mean of the latents' own autocorrelations r_j, weighted by their variances. The integrated autocorrelation time is
1 + 2 sum_(s=1..M) r(s), M the smallest window of at least five such times; so it is also the mean of the latents' times in that
window, weighted by variance. 1 is noise, whatever its density.

Letters: F latents, W weightings, G stretches, A series, L lags from 0.
Source: Sokal 1997, "Monte Carlo methods in statistical mechanics: foundations and new algorithms", section 3 (the window).
"""

from collections.abc import Sequence

import torch

from monoseme.evaluation._bootstrap import DocumentWeights, WeightedSums, ratio
from monoseme.evaluation._chunks import DocumentRows
from monoseme.evaluation._formula import Formula, formula
from monoseme.evaluation._latents import kept_replicates
from monoseme.evaluation._ledger import Ledger
from monoseme.evaluation._signals import Series, binned
from monoseme.tensors.shapes import Float, Int, Tensor

_WINDOW = 5.0
"""Times that the window holds at least; Sokal has 4 to 6 for what decays about exponentially, 10 where slower modes hide."""
_FEW = 16
"""Entries up to which the products of all pairs of a series are less work than a Fourier transform."""
_ROUNDING = 1e-12
"""Variance / mean square below which a latent is constant."""
_BLOCK = 1 << 22
"""Numbers at once of a Fourier transform (32 MB)."""


def integrated_time(r: Float[Tensor, "*lead L"]) -> Float[Tensor, "*lead"]:
    """Integrated autocorrelation time in tokens; NaN where r is, or where it has not died out within the lags given."""
    times = 2 * r.cumsum(-1) - 1
    lags = torch.arange(r.shape[-1])
    ends = (lags >= _WINDOW * times) & (lags > 0)
    at = ends.double().argmax(-1, keepdim=True)
    return times.gather(-1, at).squeeze(-1).where(ends.any(-1), torch.nan)


def lagged_products(of: Series, n_lags: int) -> Float[Tensor, "A L"]:
    """sum_t f_t f_(t+s) of each series for s = 0 to n_lags - 1."""
    made = torch.zeros(of.n_series, n_lags, dtype=torch.float64)
    counts = of.first.diff()
    few = counts <= _FEW
    _add_pairs(made, of, few, n_lags)
    many = (~few).nonzero().squeeze(1)
    size = 1 << (of.longest + n_lags - 1).bit_length()
    for i in range(0, len(many), max(1, _BLOCK // size)):
        chosen = many[i : i + max(1, _BLOCK // size)]
        made[chosen] = _by_fourier(of, chosen, size)[:, :n_lags]
    return made


def _add_pairs(made: Float[Tensor, "A L"], of: Series, few: Tensor, n_lags: int) -> None:
    """The products of each entry with itself and those behind it, of the series marked."""
    n_behind = (of.first[1:][of.series] - torch.arange(len(of.series))).where(few[of.series], 0)
    earlier = torch.repeat_interleave(n_behind)
    ahead = torch.arange(len(earlier)) - (n_behind.cumsum(0) - n_behind)[earlier]
    later = earlier + ahead
    lag = of.time[later] - of.time[earlier]
    near = lag < n_lags
    where = of.series[earlier[near]] * n_lags + lag[near]
    products = of.value[earlier[near]] * of.value[later[near]]
    made += binned(where, products, made.numel()).reshape(made.shape)


def _by_fourier(of: Series, chosen: Int[Tensor, " some"], size: int) -> Float[Tensor, "some _"]:
    """Products at all lags, from the spectrum of the signals with zeros behind them."""
    place = torch.full((of.n_series,), -1).index_copy(0, chosen, torch.arange(len(chosen)))[of.series]
    held = place >= 0
    signals = torch.zeros(len(chosen), size, dtype=torch.float64)
    signals[place[held], of.time[held]] = of.value[held]
    spectrum = torch.view_as_real(torch.fft.rfft(signals, dim=1))
    return torch.fft.irfft(spectrum.square().sum(-1), n=size, dim=1)


class Autocorrelation:
    """Gathers the lagged products of one site's codes, of all together under every weighting and of each latent."""

    def __init__(self, n_latents: int, *, n_lags: int, weights: DocumentWeights) -> None:
        self._n_lags = n_lags
        self._ledger = Ledger(weights, None)
        self._lagged = torch.zeros(n_latents, n_lags, dtype=torch.float64)
        self._ends = torch.zeros(n_latents, n_lags, dtype=torch.float64)
        self._totals = torch.zeros(n_latents, dtype=torch.float64)
        self._shift: Tensor | None = None
        self._replicates = torch.zeros(n_latents, kept_replicates(n_latents, weights.n_replicates))

    def __repr__(self) -> str:
        return f"Autocorrelation(n_latents={len(self._totals)}, n_lags={self._n_lags})"

    def update(self, of: Series, rows: DocumentRows) -> None:
        """Adds the stretches of a chunk; `rows` says which document each is of."""
        totals = of.per_series(of.value)
        if self._shift is None:  # about the mean: sums about 0 would lose what little varies of what is always on
            self._shift = binned(of.latent, totals, len(self._totals)) / of.lengths.sum()
        found, pairs = lagged_products(of, self._n_lags), (of.lengths[:, None] - torch.arange(self._n_lags)).clamp(min=0).double()
        products = self._about_shift(of, found, pairs)
        weights = self._ledger.add({"products": rows.sums(products), "pairs": rows.sums(pairs)}, rows)
        self._lagged.index_add_(0, of.latent, found)
        self._totals.index_add_(0, of.latent, totals)
        for place in self._places(of):
            self._ends.view(-1).index_add_(0, of.latent[of.series] * self._n_lags + place, of.value)
        self._add_replicates(of, totals, rows, weights)

    def _places(self, of: Series) -> tuple[Int[Tensor, " N"], Int[Tensor, " N"]]:
        """How many tokens come before and behind each entry in its stretch, as far as lags go."""
        most = self._n_lags - 1
        return of.time.clamp(max=most), (of.length[of.series] - 1 - of.time).clamp(max=most)

    def _about_shift(self, of: Series, found: Float[Tensor, "A L"], pairs: Float[Tensor, "G L"]) -> Float[Tensor, "G L"]:
        """sum_t <f_t - shift, f_(t+s) - shift> of each stretch."""
        shift = torch.zeros(0) if self._shift is None else self._shift
        n, n_lags = len(of.lengths), self._n_lags
        weighed, stretch = of.value * shift[of.latent][of.series], of.stretch[of.series]
        ends = sum(binned(stretch * n_lags + place, weighed, n * n_lags) for place in self._places(of))
        made = torch.zeros(n, n_lags, dtype=torch.float64).index_add_(0, of.stretch, found)
        return made - _at_least(torch.as_tensor(ends).reshape(n, n_lags)) + pairs * shift.square().sum()

    def _add_replicates(self, of: Series, totals: Float[Tensor, " A"], rows: DocumentRows, weights: Float[Tensor, "M W"]) -> None:
        n_documents, kept = len(rows.ids), self._replicates.shape[1]
        latents, place = of.latent.unique(return_inverse=True)
        each = binned(place * n_documents + rows.row[of.stretch], totals, len(latents) * n_documents)
        self._replicates[latents] += (each.reshape(-1, n_documents) @ weights[:, 1 : kept + 1]).float()

    def covariance(self) -> Float[Tensor, "W L"]:
        """Of the code vector at each lag, under every weighting; NaN where there is no pair, or no replicate was kept."""
        sums = self._ledger.whole()
        n = sums["pairs"][:, 0]
        shift = torch.zeros(1) if self._shift is None else self._shift
        off = torch.full_like(n, torch.nan)
        off[0] = (self._totals / n[0] - shift).square().sum()
        for i in range(self._replicates.shape[1]):
            off[i + 1] = (ratio(self._replicates[:, i].double(), n[i + 1].expand(len(shift))) - shift).square().sum()
        found = ratio(sums["products"], sums["pairs"]) - off[:, None]
        # The replicates' means are not the shift either; what that does to the estimate is known, and taken from all.
        return found + (self.latent_covariance().sum(0) - found[0])

    def latent_covariance(self) -> Float[Tensor, "F L"]:
        """Of each latent at each lag."""
        pairs = self._ledger.whole()["pairs"][0]
        mean = (self._totals / pairs[0])[:, None]
        sums = self._lagged - mean * _at_least(self._ends)
        found = ratio(sums, pairs.expand(sums.shape)) + mean.square()
        varies = found[:, :1] > _ROUNDING * self._lagged[:, :1] / pairs[0]
        return torch.where(varies | found.isnan(), found, 0.0)


def _at_least(by_place: Float[Tensor, "n L"]) -> Float[Tensor, "n L"]:
    """Sums of all places from each on."""
    return by_place.flip(1).cumsum(1).flip(1)


def correlation(of: Float[Tensor, "*lead L"]) -> Float[Tensor, "*lead L"]:
    """The covariances as shares of the first; NaN where there is no variance."""
    return ratio(of, of[..., :1].expand(of.shape))


def covariance(each: "Sequence[Autocorrelation]") -> Float[Tensor, "W L"]:
    """Of the codes of all sites side by side."""
    return torch.stack([one.covariance() for one in each]).sum(0)


def latent_covariance(each: "Sequence[Autocorrelation]") -> Float[Tensor, "F L"]:
    """Of each latent, summed over the sites that have codes of their own."""
    return torch.stack([one.latent_covariance() for one in each]).sum(0)


def _at(lag: int) -> Formula:
    def compute(s: WeightedSums) -> Tensor:
        return s["r"][:, lag] if lag < s["r"].shape[1] else torch.full_like(s["n"], torch.nan)

    return formula(
        f"smoothness_autocorrelation_{lag}",
        f"Autocorrelation of the code over {lag} token{'s' if lag > 1 else ''} of a document: the mean of the latents' own, "
        "weighted by their variances about their means over all tokens. 0 for noise, whatever its density; 1 where nothing "
        "changes.",
        compute,
        unit="correlation",
        better="neither",
        why_missing=f"no code varies, or no stretch of a document has {lag + 1} unmasked tokens, or n_lags is {lag} or less",
    )


MEMORY = (
    _at(1),
    _at(32),
    formula(
        "smoothness_autocorrelation_time",
        "Integrated autocorrelation time in tokens: 1 + 2 Σ_(s=1..M) r(s), r as above and M the smallest window of at least 5 "
        "such times (Sokal's rule). 1 for noise; the number of tokens that tell as much as one independent token would.",
        lambda s: integrated_time(s["r"]),
        unit="tokens",
        better="neither",
        why_missing="no code varies, or its autocorrelation does not die out within n_lags tokens of a document",
    ),
)
"""Metrics of the autocorrelation, over its sums `n` and `r` [W, L]; each also exists per part."""
