"""How the activation of each latent is spread over sites, and what follows from that.

The activation |z| of a latent j at a site l and a token t, as a share of all of it, is a distribution over (L, J, T). Numbers of
a latent are of P(L | J), numbers of a firing are of P(L | J, T), and each variance is weighted by activation, so that the law of
total variance holds exactly: Var(L) = E Var(L | J) + Var E(L | J), and E Var(L | J) = E Var(L | J, T) + E Var(E(L | J, T) | J).

Letters: L sites, F latents, T tokens of a chunk, M documents, R replicates kept for latents.
Source: MLSAE's analyses `dists` and `variances`.
"""

import numpy as np
import torch

from monoseme.evaluation._bootstrap import WeightedSums
from monoseme.evaluation._chunks import DocumentRows
from monoseme.evaluation._latents import kept_replicates
from monoseme.evaluation._layer_statistics import layer_statistics, shape_of
from monoseme.kernels.layer_sums import LayerSums, TokenSums, add_tokens
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

OF_FIRINGS = ("pairs", "pair_mass", "pair_spread", "pair_layers", "pair_single")
"""The columns of `TokenSums.documents`."""


class LayerTotals:
    """Activation and firings of each latent at each site, the former also under each weighting of the documents."""

    def __init__(self, position: Float[Tensor, " L"], n_latents: int, *, n_replicates: int) -> None:
        self._shape = (len(position), n_latents)
        kept = kept_replicates(len(position) * n_latents, n_replicates)
        self._sums = LayerSums.zero(position.numpy().astype(np.float64), n_latents=n_latents, n_replicates=kept)

    def __repr__(self) -> str:
        return f"LayerTotals(n_layers={self._shape[0]}, n_latents={self._shape[1]}, n_weightings={self.n_weightings})"

    @property
    def counts(self) -> Int[Tensor, "L F"]:
        """Firings."""
        return torch.from_numpy(self._sums.counts).reshape(self._shape)

    @property
    def totals(self) -> Float[Tensor, "L F"]:
        """Sum of |z|, float64."""
        return torch.from_numpy(self._sums.totals).reshape(self._shape)

    @property
    def n_tokens(self) -> Int[Tensor, " F"]:
        """Tokens on which each latent fires at any site."""
        return torch.from_numpy(self._sums.tokens)

    @property
    def spread(self) -> Float[Tensor, " F"]:
        """Over tokens, activation times its variance over sites on that token."""
        return torch.from_numpy(self._sums.spread)

    @property
    def n_weightings(self) -> int:
        """1 + R."""
        return 1 + self._sums.replicates.shape[1]

    def under(self, weighting: int) -> Float[Tensor, "L F"]:
        """The totals under one weighting, float64; 0 is `totals`."""
        if weighting == 0:
            return self.totals
        return torch.from_numpy(self._sums.replicates[:, weighting - 1].astype(np.float64)).reshape(self._shape)

    def update(self, codes: SparseCodes, rows: DocumentRows, weights: Float[Tensor, "M W"]) -> TokenSums:
        """Adds codes [T, L, F] of tokens whose documents are `rows`, with the weights of those documents."""
        return add_tokens(self._sums, codes, rows.row, weights[:, 1 : self.n_weightings])


def spread_sums(totals: LayerTotals, pairs: WeightedSums, position: Float[Tensor, " L"]) -> WeightedSums:
    """All that the metrics need, under weighting 0 and the replicates kept for latents."""
    each = [_numbers(totals.under(w), position) for w in range(totals.n_weightings)]
    made = WeightedSums()
    for name in each[0]:
        made.add(name, torch.stack([numbers[name] for numbers in each]))
    for name in ("n", *OF_FIRINGS):
        made.add(name, pairs[name][: totals.n_weightings])
    return made


def _numbers(totals: Float[Tensor, "L F"], position: Float[Tensor, " L"]) -> dict[str, Tensor]:
    mass = totals.sum(0)
    of_all = layer_statistics(totals.sum(1, keepdim=True), position)
    totals, mass = totals[:, mass > 0], mass[mass > 0]
    found = layer_statistics(totals, position)
    shape = shape_of(found, position)
    has_shape = found.var > 0
    return {
        "alive": torch.tensor(float(len(mass)), dtype=torch.float64),
        "std": found.var.sqrt().sum(),
        "entropy": found.entropy.sum(),
        "n_layers": found.n_layers.sum(),
        "has_shape": has_shape.double().sum(),
        "bimodality": shape.bimodality[has_shape].sum(),
        "valley": shape.valley[has_shape].sum(),
        "mass": mass.sum(),
        "latent_spread": (mass * found.var).sum(),
        "all_spread": (mass.sum() * of_all.var[0]).nan_to_num(nan=0.0),
    }
