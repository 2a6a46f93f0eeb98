"""Standard errors from resampled documents, in one pass and in memory that does not grow with the number of documents.

Tokens of one document are alike, so the document is what is resampled. In a Poisson bootstrap each document counts Poisson(1)
times in each replicate, instead of the multinomial number of times that drawing n of n would give: the weights are then a pure
function of (seed, document), so sums under every weighting can be gathered in a stream and merged, a document may be spread over
batches, and two SAEs measured with one seed on the same documents have paired replicates. Weighting 0 is all ones: the estimate.

Letters: M documents of a batch, W weightings (1 + replicates).
Source: Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive data streams" (Poisson bootstrap);
Efron and Tibshirani 1993, chapter 8 (resampling the units that are independent).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from monoseme.core.seeds import derive_seed
from monoseme.tensors.shapes import Float, Tensor


class Estimate(NamedTuple):
    """A number and how far it would move with other documents."""

    value: float
    """NaN where it does not exist."""
    standard_error: float | None
    """None where it cannot be told."""


class DocumentWeights:
    """How often each document counts in each weighting."""

    def __init__(self, *, n_replicates: int, seed: int) -> None:
        self.n_replicates = n_replicates
        self.seed = seed
        self._last: dict[int, np.ndarray] = {}

    def __repr__(self) -> str:
        return f"DocumentWeights(n_replicates={self.n_replicates}, seed={self.seed})"

    @property
    def n_weightings(self) -> int:
        """W = 1 + replicates."""
        return self.n_replicates + 1

    def of(self, documents: list[int]) -> Float[Tensor, "M W"]:
        """Weights of those documents, float64; column 0 is all ones. The same document always gets the same row."""
        # Only the rows of the last batch are kept: a document spread over batches is met again in the next one.
        self._last = {d: self._last[d] if d in self._last else self._draw(d) for d in documents}
        rows = np.stack([self._last[d] for d in documents]) if documents else np.empty((0, self.n_weightings))
        return torch.from_numpy(rows)

    def _draw(self, document: int) -> np.ndarray:
        rng = np.random.default_rng(derive_seed(self.seed, "bootstrap", document))
        return np.concatenate([[1.0], rng.poisson(1.0, self.n_replicates)])


class WeightedSums:
    """Named sums over documents under every weighting: name -> [W, ...] in float64. Addition merges two of them."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def __repr__(self) -> str:
        return f"WeightedSums({', '.join(sorted(self._sums))})"

    def __getitem__(self, name: str) -> Tensor:
        return self._sums[name]

    def __contains__(self, name: str) -> bool:
        return name in self._sums

    def add_documents(self, values: Mapping[str, Tensor], weights: Float[Tensor, "M W"]) -> None:
        """Adds sums per document: name -> [M] or [M, D]."""
        for name, per_document in values.items():
            self.add(name, weights.T.to(per_document.device) @ per_document)

    def add(self, name: str, weighted: Tensor) -> None:
        """Adds what is already summed under every weighting: [W, ...]."""
        self._sums[name] = self._sums[name] + weighted if name in self._sums else weighted.clone()

    def merge(self, other: "WeightedSums") -> None:
        """Adds all sums of `other`."""
        for name, weighted in other._sums.items():
            self.add(name, weighted)


def estimate(values: Float[Tensor, " W"], *, n_documents: int) -> Estimate:
    """Value under weighting 0, and the standard deviation over the replicates in which the number exists.

    No standard error with fewer than two documents (nothing to resample), or where under half of the replicates have the number.
    """
    replicates = values[1:][values[1:].isfinite()]
    enough = n_documents >= 2 and len(replicates) >= 2 and 2 * len(replicates) >= len(values) - 1
    return Estimate(float(values[0]), float(replicates.std()) if enough else None)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, NaN wherever the denominator is not positive."""
    return torch.where(denominator > 0, numerator / denominator.where(denominator > 0, torch.nan), torch.nan)
