"""Which latents fire and how often: L0, L1, dead and dense latents, the density histogram.

A latent fires on a token when its code is not zero there. Counts are integers; only the bootstrap's copies are float32 (exact up
to 2^24 tokens, which is finer than any standard error).

Letters: T tokens of a chunk, M documents, F latents, W weightings, R replicates kept for latents.
"""

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa
import torch

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._chunks import DocumentRows
from monoseme.evaluation._formula import Formula, formula
from monoseme.tensors.shapes import Float, Int, Tensor

_MAX_REPLICATE_ENTRIES = 1 << 25
"""Limit of F x R, 128 MB: with very many latents, fewer replicates carry the standard errors of latent counts."""

_MIN_REPLICATES = 20
"""With fewer, a standard deviation says nothing; none is given."""

_BINS_PER_DECADE = 4
_LOWEST_DECADE = -6


def kept_replicates(n_columns: int, n_replicates: int) -> int:
    """How many replicates of `n_columns` numbers fit; 0 where too few would."""
    kept = min(n_replicates, _MAX_REPLICATE_ENTRIES // max(1, n_columns))
    return kept if kept >= _MIN_REPLICATES else 0


class Firings(NamedTuple):
    """The non-zero codes of T tokens, in no particular order."""

    row: Int[Tensor, " nnz"]
    latent: Int[Tensor, " nnz"]
    value: Float[Tensor, " nnz"]


class LatentCounts:
    """How often each latent fires, also under each weighting of the documents."""

    def __init__(self, n_latents: int, *, n_replicates: int) -> None:
        self.n_tokens = 0
        self.counts = torch.zeros(n_latents, dtype=torch.int64)
        self.totals = torch.zeros(n_latents, dtype=torch.float64)
        self.largest = torch.zeros(n_latents, dtype=torch.float32)
        self.l0_counts = torch.zeros(1, dtype=torch.int64)
        self._replicates = torch.zeros(n_latents, kept_replicates(n_latents, n_replicates))

    def __repr__(self) -> str:
        return f"LatentCounts({len(self.counts)}, n_tokens={self.n_tokens})"

    def update(self, firings: Firings, rows: DocumentRows, weights: Float[Tensor, "M W"]) -> None:
        """Adds T tokens, whose documents are `rows`, with the weights of those documents."""
        latent, value = firings.latent.long().cpu(), firings.value.detach().cpu()
        n_latents = len(self.counts)
        self.n_tokens += len(rows.row)
        self.counts += torch.bincount(latent, minlength=n_latents)
        self.totals.index_add_(0, latent, value.double())
        self.largest.scatter_reduce_(0, latent, value.float(), "amax")
        self._add_l0(torch.bincount(firings.row.long().cpu(), minlength=len(rows.row)))
        key = latent * len(rows.ids) + rows.row.cpu()[firings.row.long().cpu()]
        pairs, times = torch.unique(key, return_counts=True)
        per_document = torch.sparse_coo_tensor(
            torch.stack([pairs // len(rows.ids), pairs % len(rows.ids)]),
            times.float(),
            (n_latents, len(rows.ids)),
            is_coalesced=True,
            check_invariants=False,
        )
        kept = self._replicates.shape[1]
        self._replicates += torch.sparse.mm(per_document, weights[:, 1 : kept + 1].float())

    def _add_l0(self, l0: Int[Tensor, " T"]) -> None:
        found = torch.bincount(l0, minlength=len(self.l0_counts))
        found[: len(self.l0_counts)] += self.l0_counts
        self.l0_counts = found

    def shares(self, n_weighted: Float[Tensor, " W"], *, dense_above: float) -> dict[str, Float[Tensor, " R1"]]:
        """`dead` and `dense`: share of latents under the first 1 + R weightings, whose token counts lead `n_weighted`."""
        counts = torch.cat([self.counts[:, None].double(), self._replicates.double()], dim=1)
        n = n_weighted[: counts.shape[1]].cpu()
        exists = torch.where(n > 0, 1.0, torch.nan)
        return {
            "dead": (counts == 0).double().mean(0) * exists,
            "dense": (counts > dense_above * n).double().mean(0) * exists,
        }

    def density(self) -> Float[Tensor, " F"]:
        """Share of tokens on which each latent fires, float64; NaN before the first token."""
        return self.counts.double() / (self.n_tokens if self.n_tokens else torch.nan)


def latent_table(found: LatentCounts) -> pa.Table:
    """One row per latent: `latent`, `count`, `density`, `mean_active` (None for a dead one), `max`."""
    counts = found.counts.clamp(min=1)
    mean_active = pa.array((found.totals / counts).numpy(), mask=(found.counts == 0).numpy())
    columns = {
        "latent": pa.array(range(len(counts)), pa.int32()),
        "count": pa.array(found.counts.numpy()),
        "density": pa.array(found.density().numpy()),
        "mean_active": mean_active,
        "max": pa.array(found.largest.numpy()),
    }
    return pa.table(columns)


def density_table(found: LatentCounts) -> pa.Table:
    """Histogram of densities: `low`, `high`, `n_latents`. Row 0 holds the dead latents (low = high = 0); then fixed log bins,
    low <= density < high (the last includes 1), four per factor of ten from 1e-6; rarer latents count in the lowest bin.
    """
    edges = torch.logspace(_LOWEST_DECADE, 0, 1 - _BINS_PER_DECADE * _LOWEST_DECADE, dtype=torch.float64)
    alive = found.density()[found.counts > 0]
    which = torch.bucketize(alive, edges, right=True).sub(1).clamp(0, len(edges) - 2)
    n_latents = torch.bincount(which, minlength=len(edges) - 1)
    return pa.table(
        {
            "low": [0.0, *edges[:-1].tolist()],
            "high": [0.0, *edges[1:].tolist()],
            "n_latents": [int((found.counts == 0).sum()), *n_latents.tolist()],
        }
    )


def l0_table(found: LatentCounts) -> pa.Table:
    """How many tokens have each L0: `l0`, `n_tokens`."""
    return pa.table({"l0": range(len(found.l0_counts)), "n_tokens": found.l0_counts.tolist()})


def _mean(name: str) -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(s[name], s["n"])


SPARSITY = (
    formula("l0", "Mean over tokens of the number of non-zero codes.", _mean("l0"), unit="latents", better="lower"),
    formula("l1", "Mean over tokens of the sum of the absolute codes.", _mean("l1"), unit="activation", better="neither"),
)
"""Metrics of the codes of each token; these also exist per domain."""


def share_formulas(*, dense_above: float) -> tuple[Formula, ...]:
    """Metrics of the latents as a population, over the sums `dead` and `dense` that `LatentCounts.shares` gives."""
    return (
        formula(
            "dead_fraction",
            "Share of latents that fire on none of the n tokens measured. With few tokens rare latents count as dead.",
            lambda s: s["dead"],
            unit="fraction",
            better="lower",
        ),
        formula(
            "dense_fraction",
            f"Share of latents that fire on more than {dense_above:.0%} of the tokens.",
            lambda s: s["dense"],
            unit="fraction",
            better="lower",
        ),
    )
