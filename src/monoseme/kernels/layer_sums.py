"""Sums of codes at several sites: by site and latent, by latent over tokens, by document, and under bootstrap weights.

On the CPU by one compiled loop where there is Numba, at some ten nanoseconds an entry; elsewhere by torch, which sorts
the entries and is several times slower. Counts are exact; sums are float64, replicates float32; the two add in another order.
Letters: T tokens, L sites, F latents, M documents, R replicates, P firings: pairs of a token and a latent that fires on it.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.kernels.dispatch import resolve
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


class LayerSums(NamedTuple):
    """Sums so far; all but `position` are added to in place."""

    position: NDArray[np.float64]
    """[L]; what variances over sites are of."""
    counts: NDArray[np.int64]
    """[L * F]; tokens on which the latent fires at the site."""
    totals: NDArray[np.float64]
    """[L * F]; of |z|."""
    tokens: NDArray[np.int64]
    """[F]; tokens on which the latent fires at any site."""
    spread: NDArray[np.float64]
    """[F]; over tokens, of |z| over all sites times its variance over sites on that token."""
    replicates: NDArray[np.float32]
    """[L * F, R]; the totals with documents weighted."""

    @classmethod
    def zero(cls, position: NDArray[np.float64], *, n_latents: int, n_replicates: int) -> "LayerSums":
        """Before the first token."""
        n = len(position) * n_latents
        replicates = np.zeros((n, n_replicates), np.float32)
        return cls(position, np.zeros(n, np.int64), np.zeros(n), np.zeros(n_latents, np.int64), np.zeros(n_latents), replicates)


class TokenSums(NamedTuple):
    """Sums over the tokens that were added last, float64."""

    documents: Float[Tensor, "M 5"]
    """Over the firings of each document: their number, |z| over all sites, that times its variance over sites, their
    sites, and how many are at one site only."""
    shares: Float[Tensor, "L F"]
    """Over tokens, of the share of the latent's |z| on the token that is at the site; nothing from those where it is silent."""
    n_site_spread: Float[Tensor, ""]
    """Over firings, of the variance of the site's number (0, 1, ...) under those shares."""


def add_tokens(so_far: LayerSums, codes: SparseCodes, document: Int[Tensor, " T"], weights: Float[Tensor, "M R"]) -> TokenSums:
    """Adds codes [T, L, F], where not zero; `document` is the row of `weights` that each token has."""
    codes, weights = codes.drop_zeros(), weights.float().contiguous()
    if resolve("auto", "cpu") == "numba":
        return _add_compiled(so_far, codes, document, weights)
    return _add_by_torch(so_far, codes, document, weights)


def _add_compiled(so_far: LayerSums, codes: SparseCodes, document: Tensor, weights: Tensor) -> TokenSums:
    from monoseme.kernels import _cpu_layer_sums as loops

    n_layers = len(so_far.position)
    documents, shares = np.zeros((len(weights), 5)), np.zeros(n_layers * codes.n_latents)
    entries = codes.indices.cpu().numpy(), codes.values.detach().cpu().double().numpy(), codes.offsets.cpu().numpy()
    spread = loops.add_tokens(so_far, entries, document.cpu().numpy(), weights.cpu().numpy(), documents, shares)
    shaped = torch.from_numpy(shares).reshape(n_layers, codes.n_latents)
    return TokenSums(torch.from_numpy(documents), shaped, torch.tensor(spread, dtype=torch.float64))


def _add_by_torch(so_far: LayerSums, codes: SparseCodes, document: Tensor, weights: Tensor) -> TokenSums:
    n_layers, n_latents = len(so_far.position), codes.n_latents
    rows, latent, mass = codes.rows().cpu(), codes.indices.cpu().long(), codes.values.detach().cpu().double().abs()
    token, layer, document = rows // n_layers, rows % n_layers, document.cpu()
    place = layer * n_latents + latent
    pairs, which = (token * n_latents + latent).unique(return_inverse=True)
    of_pair, n_sites = _sums(which, mass, len(pairs)), _sums(which, torch.ones_like(mass), len(pairs))
    spread = of_pair * _variances(which, mass / of_pair[which], torch.from_numpy(so_far.position)[layer], len(pairs))
    of_place, of_latent = (torch.zeros(n, dtype=torch.int64) for n in (n_layers * n_latents, n_latents))
    so_far.counts[:] += of_place.index_add_(0, place, torch.ones_like(place)).numpy()
    so_far.totals[:] += _sums(place, mass, n_layers * n_latents).numpy()
    so_far.tokens[:] += of_latent.index_add_(0, pairs % n_latents, torch.ones_like(pairs)).numpy()
    so_far.spread[:] += _sums(pairs % n_latents, spread, n_latents).numpy()
    _add_replicates(so_far.replicates, place * len(weights) + document[token], mass, weights.cpu())
    columns = torch.stack([torch.ones_like(of_pair), of_pair, spread, n_sites, (n_sites == 1).double()], dim=1)
    documents = torch.zeros(len(weights), 5, dtype=torch.float64).index_add_(0, document[pairs // n_latents], columns)
    share = mass / of_pair[which]
    shares = _sums(place, share, n_layers * n_latents).reshape(n_layers, n_latents)
    return TokenSums(documents, shares, _variances(which, share, layer.double(), len(pairs)).sum())


def _add_replicates(replicates: NDArray[np.float32], key: Tensor, mass: Tensor, weights: Tensor) -> None:
    """`key` is place * M + document."""
    keys, which = key.unique(return_inverse=True)
    per_document = torch.sparse_coo_tensor(
        torch.stack([keys // len(weights), keys % len(weights)]),
        _sums(which, mass, len(keys)).float(),
        (len(replicates), len(weights)),
        is_coalesced=True,
        check_invariants=False,
    )
    replicates += torch.sparse.mm(per_document, weights).numpy()


def _variances(which: Tensor, share: Tensor, at: Tensor, n: int) -> Tensor:
    """Of `at` under the shares of each of n groups."""
    mean = _sums(which, share * at, n)
    return _sums(which, share * (at - mean[which]).square(), n)


def _sums(which: Tensor, values: Tensor, n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.float64).index_add_(0, which, values)
