"""Reading the statistics of a store: what each of its sums means.

Letters: D width of a site, S positions of a context.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.store.layout import STATISTICS
from monoseme.activations.store.merge import Arrays, arrays_of
from monoseme.activations.store.norm_bins import norm_quantile
from monoseme.activations.store.sink_list import SinkList
from monoseme.activations.store.statistics_file import read_statistics
from monoseme.core.config import suggest
from monoseme.core.errors import SiteError, UndefinedMetricError
from monoseme.core.folder import Folder
from monoseme.models.site import Site
from monoseme.tensors.shapes import Float, Tensor


class PlaceNorms(NamedTuple):
    """Mean norm of the tokens at each place of a context, float64 [S]; NaN where there are none."""

    seen: NDArray[np.float64]
    """Of tokens that an SAE trains on."""
    real: NDArray[np.float64]
    """Of all real tokens: BOS and attention sinks as well."""


class Sinks(NamedTuple):
    """Attention sinks of a site, among the tokens whose mask is set."""

    threshold: float | None
    """Norms above it are sinks; None: nothing is."""
    n: int
    n_by_place: NDArray[np.int64]
    """[S]"""
    longest: SinkList
    """At most 64, the longest first."""


class StorageError(NamedTuple):
    """What the stored type lost, over the seen tokens."""

    squares: float
    """Sum of |x - stored|^2."""
    fvu: float | None
    """The same as a share of the sum of |x - mean|^2; None where all vectors are equal."""


class StoreStatistics:
    """The statistics of a store (or of one shard), site by site."""

    def __init__(self, arrays: Arrays) -> None:
        """`arrays` as in `monoseme.activations.store.statistics`."""
        self._arrays = arrays

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "StoreStatistics":
        """Those of a file's tensors."""
        return cls(arrays_of(tensors))

    @classmethod
    def read(cls, folder: Folder) -> "StoreStatistics":
        """Those of a finished store. Raises ArtifactDamagedError."""
        return cls.of(read_statistics(folder, STATISTICS))

    def __repr__(self) -> str:
        """The sites and the tokens."""
        return f"StoreStatistics({', '.join(map(str, self.sites))}; {self.n_masked:,} tokens)"

    @property
    def sites(self) -> tuple[Site, ...]:
        """Sorted as a forward comes by them."""
        return tuple(sorted(Site.parse(key.removesuffix("/mean")) for key in self._arrays if key.endswith("/mean")))

    @property
    def n_real(self) -> int:
        """Tokens that are not padding: the rows of each site."""
        return int(self._arrays["n_real"][0])

    @property
    def n_masked(self) -> int:
        """Of these, tokens whose mask is set."""
        return int(self._arrays["n_masked"][0])

    @property
    def n_sinks(self) -> int:
        """Of these, attention sinks at any site."""
        return int(self._arrays["n_sinks"][0])

    def n(self, site: Site | str) -> int:
        """Seen tokens: mask set, no sink at any site, and finite here."""
        return int(self._of(site, "n")[0])

    def n_not_finite(self, site: Site | str) -> int:
        """Tokens left out for NaN or infinity at this site."""
        return int(self._of(site, "n_not_finite")[0])

    def mean(self, site: Site | str) -> Float[Tensor, " D"]:
        """Mean of the seen tokens, float64. Raises UndefinedMetricError without any, as all that follow."""
        self._some(site)
        return torch.from_numpy(self._of(site, "mean").copy())

    def variance(self, site: Site | str) -> Float[Tensor, " D"]:
        """Variance of each coordinate over the seen tokens, divided by n, float64."""
        return torch.from_numpy(self._of(site, "squares") / self._some(site))

    def second_moment(self, site: Site | str) -> Float[Tensor, " D"]:
        """Mean square of each coordinate, float64."""
        return self.variance(site) + self.mean(site).square()

    def mean_norm(self, site: Site | str) -> float:
        """Mean length of a seen token's vector."""
        return float(self._of(site, "place_norm_sum").sum()) / self._some(site)

    def mean_square_norm(self, site: Site | str) -> float:
        """Mean squared length."""
        return float(self.second_moment(site).sum())

    def norm_factor(self, site: Site | str) -> float:
        """The factor of `normalise.kind` "unit_mean_square": 1 / sqrt(mean |x|^2).

        Raises UndefinedMetricError where all vectors are zero.
        """
        return 1 / _positive(self.mean_square_norm(site), site) ** 0.5

    def inverse_mean_norm(self, site: Site | str) -> float:
        """The factor of `normalise.kind` "inverse_mean_norm", and TFA's: 1 / mean |x|."""
        return 1 / _positive(self.mean_norm(site), site)

    def geometric_median(self, site: Site | str) -> Float[Tensor, " D"] | None:
        """Of a sample of the seen tokens as they are stored, float64; None in the statistics of a shard."""
        found = self._arrays.get(f"{self._known(site)}/geometric_median")
        return None if found is None else torch.from_numpy(found.copy())

    def norm_quantile(self, site: Site | str, q: float) -> float | None:
        """The q-quantile of the seen tokens' norms, within 1.6 % (between 2^-24 and 2^24); None without any."""
        return norm_quantile(self._of(site, "norm_counts"), q)

    def place_norms(self, site: Site | str) -> PlaceNorms:
        """Mean norm by place in the context."""
        with np.errstate(invalid="ignore"):
            means = [self._of(site, f"{name}_norm_sum") / self._of(site, f"{name}_n") for name in ("place", "real_place")]
        return PlaceNorms(*means)

    def sinks(self, site: Site | str) -> Sinks:
        """Attention sinks at this site."""
        limit = float(self._of(site, "sink_threshold")[0])
        counts = self._of(site, "sink_place_n")
        longest = SinkList.of_arrays(self._arrays, self._known(site)).listed()
        return Sinks(limit if limit < float("inf") else None, int(counts.sum()), counts, longest)

    def storage_error(self, site: Site | str) -> StorageError:
        """What rounding to the stored type changed."""
        lost, spread = float(self._of(site, "storage_squares")[0]), float(self._of(site, "squares").sum())
        return StorageError(lost, lost / spread if spread > 0 else None)

    def _of(self, site: Site | str, name: str) -> NDArray[Any]:
        return self._arrays[f"{self._known(site)}/{name}"]

    def _known(self, site: Site | str) -> str:
        if f"{site}/mean" not in self._arrays:
            names = [str(known) for known in self.sites]
            raise SiteError(f"these statistics have no site {site}.{suggest(str(site), names)}\n  There are: {', '.join(names)}")
        return str(site)

    def _some(self, site: Site | str) -> int:
        if not (n := self.n(site)):
            raise UndefinedMetricError(f"no token at {site} can be seen by an SAE: there is no mean over none")
        return n


def _positive(value: float, site: Site | str) -> float:
    if not value > 0:
        raise UndefinedMetricError(f"all vectors at {site} are zero: no factor gives them a length of 1")
    return value
