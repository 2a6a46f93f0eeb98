"""How the activation of each latent is spread over sites, and what follows from that.

The activation |z| of a latent j at a site l and a token t, as a share of all of it, is a distribution over (L, J, T). Numbers of
a latent are of P(L | J), numbers of a firing are of P(L | J, T), and each variance is weighted by activation, so that the law of
total variance holds exactly: Var(L) = E Var(L | J) + Var E(L | J), and E Var(L | J) = E Var(L | J, T) + E Var(E(L | J, T) | J).

Letters: L sites, F latents, T tokens of a chunk, M documents, R replicates kept for latents, P firings: pairs (token, latent).
Source: MLSAE's analyses `dists` and `variances`.
"""

from typing import NamedTuple

import torch

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._chunks import DocumentRows
from monoseme.evaluation._latents import kept_replicates
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


class LayerStatistics(NamedTuple):
    """P(L | J) of every latent; NaN for one that has no activation."""

    probs: Float[Tensor, "L F"]
    mean: Float[Tensor, " F"]
    var: Float[Tensor, " F"]
    entropy: Float[Tensor, " F"]
    """In nats."""
    n_layers: Float[Tensor, " F"]
    """Sites with any activation."""


def layer_statistics(totals: Float[Tensor, "L F"], position: Float[Tensor, " L"]) -> LayerStatistics:
    """From the activation at each site; `position` is what means and variances are of. Never negative, unlike E L² − (E L)²."""
    probs = ratio(totals, totals.sum(0).expand_as(totals))
    mean = (position[:, None] * probs).sum(0)
    var = ((position[:, None] - mean).square() * probs).sum(0)
    entropy = -torch.where(probs > 0, probs * probs.log(), probs).sum(0)
    return LayerStatistics(probs, mean, var, entropy, torch.where(mean.isfinite(), (totals > 0).double().sum(0), torch.nan))


class Firings(NamedTuple):
    """The P pairs of a token and a latent that fires on it at any site."""

    token: Int[Tensor, " P"]
    mass: Float[Tensor, " P"]
    """Activation over all sites."""
    spread: Float[Tensor, " P"]
    """Mass times Var(L | J, T)."""
    n_layers: Float[Tensor, " P"]
    """Sites at which it fires."""


class Entries(NamedTuple):
    """Codes [T, L, F] as their entries."""

    token: Int[Tensor, " nnz"]
    layer: Int[Tensor, " nnz"]
    latent: Int[Tensor, " nnz"]
    mass: Float[Tensor, " nnz"]
    """|z|, float64."""


def entries_of(codes: SparseCodes) -> Entries:
    """On the CPU."""
    rows, n_layers = codes.rows().cpu(), codes.leading[1]
    return Entries(rows // n_layers, rows % n_layers, codes.indices.cpu().long(), codes.values.detach().cpu().double().abs())


def firings(entries: Entries, position: Float[Tensor, " L"], *, n_latents: int) -> Firings:
    """The entries of each token and latent together."""
    pairs, which = (entries.token * n_latents + entries.latent).unique(return_inverse=True)
    at = position[entries.layer]
    mass = _sums(which, entries.mass, len(pairs))
    mean = _sums(which, entries.mass * at, len(pairs)) / mass
    spread = _sums(which, entries.mass * (at - mean[which]).square(), len(pairs))
    return Firings(pairs // n_latents, mass, spread, _sums(which, torch.ones_like(at), len(pairs)))


class LayerTotals:
    """Activation and firings of each latent at each site, the former also under each weighting of the documents."""

    def __init__(self, n_layers: int, n_latents: int, *, n_replicates: int) -> None:
        self._shape = (n_layers, n_latents)
        self._counts = torch.zeros(n_layers * n_latents, dtype=torch.int64)
        self._totals = torch.zeros(n_layers * n_latents, dtype=torch.float64)
        self._replicates = torch.zeros(n_layers * n_latents, kept_replicates(n_layers * n_latents, n_replicates))

    @property
    def counts(self) -> Int[Tensor, "L F"]:
        """Firings."""
        return self._counts.reshape(self._shape)

    @property
    def totals(self) -> Float[Tensor, "L F"]:
        """Sum of |z|, float64."""
        return self._totals.reshape(self._shape)

    @property
    def n_weightings(self) -> int:
        """1 + R."""
        return 1 + self._replicates.shape[1]

    def under(self, weighting: int) -> Float[Tensor, "L F"]:
        """The totals under one weighting, float64; 0 is `totals`."""
        return self.totals if weighting == 0 else self._replicates[:, weighting - 1].double().reshape(self._shape)

    def update(self, entries: Entries, rows: DocumentRows, weights: Float[Tensor, "M W"]) -> None:
        """Adds the entries of T tokens, whose documents are `rows`, with the weights of those documents."""
        place, n_documents = entries.layer * self._shape[1] + entries.latent, len(rows.ids)
        self._counts += torch.bincount(place, minlength=len(self._counts))
        self._totals.index_add_(0, place, entries.mass)
        keys, which = (place * n_documents + rows.row[entries.token]).unique(return_inverse=True)
        per_document = torch.sparse_coo_tensor(
            torch.stack([keys // n_documents, keys % n_documents]),
            _sums(which, entries.mass, len(keys)).float(),
            (len(self._counts), n_documents),
            is_coalesced=True,
            check_invariants=False,
        )
        self._replicates += torch.sparse.mm(per_document, weights[:, 1 : self.n_weightings].float())


def spread_sums(totals: LayerTotals, pairs: WeightedSums, position: Float[Tensor, " L"]) -> WeightedSums:
    """All that the metrics need, under weighting 0 and the replicates kept for latents."""
    each = [_numbers(totals.under(w), position) for w in range(totals.n_weightings)]
    made = WeightedSums()
    for name in each[0]:
        made.add(name, torch.stack([numbers[name] for numbers in each]))
    for name in ("n", "pairs", "pair_mass", "pair_spread", "pair_layers"):
        made.add(name, pairs[name][: totals.n_weightings])
    return made


def _numbers(totals: Float[Tensor, "L F"], position: Float[Tensor, " L"]) -> dict[str, Tensor]:
    found = layer_statistics(totals, position)
    mass = totals.sum(0)
    alive = mass > 0
    of_all = layer_statistics(totals.sum(1, keepdim=True), position)
    return {
        "alive": alive.double().sum(),
        "std": found.var[alive].sqrt().sum(),
        "entropy": found.entropy[alive].sum(),
        "n_layers": found.n_layers[alive].sum(),
        "mass": mass.sum(),
        "latent_spread": (mass * found.var)[alive].sum(),
        "all_spread": (mass.sum() * of_all.var[0]).nan_to_num(nan=0.0),
    }


def _sums(which: Int[Tensor, " N"], values: Float[Tensor, " N"], n: int) -> Float[Tensor, " n"]:
    return torch.zeros(n, dtype=torch.float64).index_add_(0, which, values)
