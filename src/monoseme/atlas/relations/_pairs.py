"""How a slice of latents goes with all latents, from kept codes: exact sums over the kept tokens, and what follows from them.

Letters: M kept tokens, F latents, w latents of a slice, E codes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.kept_codes import KeptCodes

_PAIRS_AT_ONCE = 1 << 21
"""Pairs of codes on one token that are counted at once: about 80 MB at work."""
_CODES_AT_ONCE = 1 << 22


class Sums(NamedTuple):
    """Sums over the kept tokens for each latent, arrays [F]."""

    n_fired: NDArray[np.int64]
    """Tokens on which its code is positive (count)."""
    total: NDArray[np.float64]
    """Sum of its codes."""
    variation: NDArray[np.float64]
    """M times the sum of squared differences from its mean: M sum(z^2) - (sum z)^2, 0 or more."""


def sums_of(kept: KeptCodes) -> Sums:
    """The sums of each latent, a slice of codes at a time, in float64."""
    n = kept.n_latents
    n_fired, total, squares = np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n)
    for first in range(0, len(kept.token_latents), _CODES_AT_ONCE):
        latents = kept.token_latents[first : first + _CODES_AT_ONCE]
        values = kept.token_values[first : first + _CODES_AT_ONCE].astype(np.float64)
        n_fired += np.bincount(latents[values > 0], minlength=n)
        total += np.bincount(latents, weights=values, minlength=n)
        squares += np.bincount(latents, weights=values**2, minlength=n)
    return Sums(n_fired, total, np.maximum(kept.n_tokens * squares - total**2, 0.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """The latents `first` to `first` + w beside all F latents; the pair of a latent with itself says nothing and is NaN or 0."""

    first: int
    n_together: NDArray[np.int64]
    """[w, F] tokens on which both fire (count)."""
    jaccard: NDArray[np.float64]
    """[w, F] n_together / tokens on which one of them fires, in [0, 1]; 0 where neither does."""
    lift: NDArray[np.float64]
    """[w, F] n_together over what independence would give, n_a n_b / M; NaN where one never fires."""
    correlation: NDArray[np.float64]
    """[w, F] Pearson's r of the two codes over all kept tokens, zeros included; NaN where one is constant."""


def pairs_of(kept: KeptCodes, sums: Sums, latents: range) -> Pairs:
    """What the kept codes say of each pair of one of `latents` and any latent."""
    n_together, products = _sums_of_pairs(kept, latents)
    own = slice(latents.start, latents.stop)
    itself = (np.arange(len(latents)), np.arange(latents.start, latents.stop))
    n_together[itself] = 0
    either = sums.n_fired[own, None] + sums.n_fired[None] - n_together
    by_chance = sums.n_fired[own, None] * sums.n_fired[None] / max(kept.n_tokens, 1)
    spread = np.sqrt(sums.variation[own, None]) * np.sqrt(sums.variation[None])
    covariation = kept.n_tokens * products - sums.total[own, None] * sums.total[None]
    correlation = np.divide(covariation, spread, out=np.full_like(spread, np.nan), where=spread > 0)
    correlation[itself] = np.nan
    return Pairs(
        first=latents.start,
        n_together=n_together,
        jaccard=n_together / np.maximum(either, 1),
        lift=np.divide(n_together, by_chance, out=np.full_like(by_chance, np.nan), where=by_chance > 0),
        correlation=np.clip(correlation, -1, 1),
    )


def _sums_of_pairs(kept: KeptCodes, latents: range) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """[w, F] tokens on which both codes are positive, and the sum of the codes' products."""
    size = len(latents) * kept.n_latents
    n_together, products = np.zeros(size, dtype=np.int64), np.zeros(size)
    for at in _runs(kept, latents):
        rows, values = kept.latent_rows[at], kept.latent_values[at]
        begin = kept.token_offsets[rows]
        lengths = kept.token_offsets[rows + 1] - begin
        owner = np.repeat(np.arange(len(rows)), lengths)
        entry = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths - begin, lengths)
        slot = np.searchsorted(kept.latent_offsets, np.arange(at.start, at.stop), side="right") - 1 - latents.start
        pair = (slot * kept.n_latents)[owner] + kept.token_latents[entry]
        own, other = values[owner], kept.token_values[entry]
        products += np.bincount(pair, weights=own.astype(np.float64) * other, minlength=size)
        is_signed = bool((own < 0).any() or (other < 0).any())
        n_together += np.bincount(pair[(own > 0) & (other > 0)] if is_signed else pair, minlength=size)
    return n_together.reshape(len(latents), -1), products.reshape(len(latents), -1)


def _runs(kept: KeptCodes, latents: range) -> Iterator[slice]:
    """The codes of these latents, in runs that meet about _PAIRS_AT_ONCE codes on their tokens."""
    first, last = int(kept.latent_offsets[latents.start]), int(kept.latent_offsets[latents.stop])
    while first < last:
        rows = kept.latent_rows[first : min(last, first + _PAIRS_AT_ONCE)]
        met = np.cumsum(kept.token_offsets[rows + 1] - kept.token_offsets[rows])
        n = max(1, int(np.searchsorted(met, _PAIRS_AT_ONCE, side="right")))
        yield slice(first, first + n)
        first += n
