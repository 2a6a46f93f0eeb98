"""Everything a scan remembers of the latents of one (SAE, part): exact counts, moments, histograms and samples.

Written by the scan, saved at will, merged over processes: `merge_states(a, b)` equals one pass over both, in any order and for
any split of the contexts. Counts, histograms and samples are equal to the bit; means and variances to float64 rounding.

Letters: F latents, N kept examples, W width of a window.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.bins import N_BINS, bin_of
from monoseme.atlas.keys import descending, hash_documents, hash_positions
from monoseme.atlas.scanning.background import Background
from monoseme.atlas.scanning.firings import Firings, Rows, windows
from monoseme.atlas.scanning.reservoir import Entries, PayloadSpec, Reservoir
from monoseme.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class StateConfig:
    """What is kept per latent."""

    n_top: int = 24
    """Strongest examples shown per latent (count), each of another document."""
    n_spare: int = 12
    """Strong firings kept beyond those (count): they move up where a better one has nearly the same text."""
    n_sampled: int = 100
    """Firings kept per latent as a uniform sample (count): the source of decile examples and of explanations."""
    n_counted_documents: int = 64
    """Up to this many documents are counted exactly per latent (count); beyond it the count is an estimate."""
    n_background: int = 16_384
    """Tokens kept with all their codes as a uniform sample (count): where latents do not fire."""
    left: int = 16
    """Tokens shown before an example's token (count)."""
    right: int = 8
    """Tokens shown after an example's token (count)."""
    seed: int = 0
    """Seed of the samples."""

    def __post_init__(self) -> None:
        for name in ("n_top", "n_sampled", "n_background"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, but an atlas keeps at least 1.")
        if self.n_spare < 0:
            raise ConfigError(f"n_spare is {self.n_spare}, but must be at least 0.")
        if self.n_counted_documents < 2:
            raise ConfigError(f"n_counted_documents is {self.n_counted_documents}; it must be at least 2.")
        if self.left < 0 or self.right < 0:
            raise ConfigError(f"left is {self.left} and right is {self.right}; a window cannot be negative.")

    @property
    def gap(self) -> int:
        """Slots between two segments, so that no window reaches from one into another."""
        return self.left + self.right + 1


class LatentState:
    """Statistics of F latents, growing by `add`; memory O(F * (n_top + n_spare + n_sampled)) however long the text."""

    def __init__(self, n_latents: int, config: StateConfig) -> None:
        self.n_latents, self.config = n_latents, config
        window = {"value": PayloadSpec("float32"), "window": PayloadSpec("float16", (config.left + 1 + config.right,))}
        self.top = Reservoir(n_latents, config.n_top + config.n_spare, distinct_documents=True, payload=window)
        self.sample = Reservoir(n_latents, config.n_sampled, distinct_documents=False, payload=window)
        self.documents = Reservoir(n_latents, config.n_counted_documents, distinct_documents=True, payload={})
        self.background = Background(config.n_background, seed=config.seed)
        self.n_rows = 0
        self.n_fired = np.zeros(n_latents, dtype=np.int64)
        self.n_negative = np.zeros(n_latents, dtype=np.int64)
        self.n_contexts = np.zeros(n_latents, dtype=np.int64)
        self.histogram = np.zeros((n_latents, N_BINS), dtype=np.int64)
        self.maximum = np.zeros(n_latents, dtype=np.float32)
        self.mean = np.zeros(n_latents, dtype=np.float64)
        self.squares = np.zeros(n_latents, dtype=np.float64)

    def add(self, rows: Rows, firings: Firings) -> None:
        """Take in one chunk of whole contexts. Negative codes are counted and are not firings."""
        self.n_rows += len(rows.document)
        self.background.add(rows, firings)
        self.n_negative += np.bincount(firings.latent[firings.value < 0], minlength=self.n_latents)
        fires = np.nonzero(firings.value > 0)[0]
        latent, value, row = firings.latent[fires], firings.value[fires], firings.row[fires]
        if not len(fires):
            return
        self._add_contexts(latent, rows.context[row])
        flat = np.bincount(latent * N_BINS + bin_of(value), minlength=self.n_latents * N_BINS)
        self.histogram += flat.reshape(self.n_latents, N_BINS)
        np.maximum.at(self.maximum, latent, value)
        self._add_moments(latent, value)
        hashed = hash_positions(self.config.seed, rows.document, rows.position)[row]
        self._offer(self.top, descending(value), fires, firings, rows)
        self._offer(self.sample, hashed, fires, firings, rows)
        self._count_documents(latent, rows.document[row])

    @property
    def variance(self) -> NDArray[np.float64]:
        """Variance of the positive activations of each latent (population, divided by n); NaN where it never fired."""
        return np.divide(self.squares, self.n_fired, out=np.full(self.n_latents, np.nan), where=self.n_fired > 0)

    def n_documents(self) -> NDArray[np.int64]:
        """In how many documents each latent fires: exact below n_counted_documents, else estimated.

        Source: Bar-Yossef et al. 2002, the k-th smallest of n uniform hashes is about k/n; (k - 1)/kth is unbiased.
        """
        kept = self.documents.entries()
        counts = self.documents.counts()
        full = counts == self.documents.size
        last = np.zeros(self.n_latents, dtype=np.float64)
        np.maximum.at(last, kept.group, kept.key.astype(np.float64) / 2.0**64)
        estimate = np.divide(self.documents.size - 1, last, out=np.zeros_like(last), where=full)
        return np.where(full, np.maximum(np.rint(estimate), counts), counts).astype(np.int64)

    def _add_contexts(self, latent: NDArray[np.int64], context: NDArray[np.int64]) -> None:
        new = np.ones(len(latent), dtype=bool)
        new[1:] = (latent[1:] != latent[:-1]) | (context[1:] != context[:-1])
        self.n_contexts += np.bincount(latent[new], minlength=self.n_latents)

    def _count_documents(self, latent: NDArray[np.int64], document: NDArray[np.int64]) -> None:
        """Offers each document of a latent's firings once for each stretch of them."""
        new = np.ones(len(latent), dtype=bool)
        new[1:] = (latent[1:] != latent[:-1]) | (document[1:] != document[:-1])
        latent, document = latent[new], document[new]
        key = hash_documents(self.config.seed, document)
        entering = self.documents.may_enter(latent, key)
        latent, key, document = latent[entering], key[entering], document[entering]
        self.documents.offer(Entries(latent, key, document, np.zeros_like(document), {}))

    def _add_moments(self, latent: NDArray[np.int64], value: NDArray[np.float32]) -> None:
        count = np.bincount(latent, minlength=self.n_latents)
        exact = value.astype(np.float64)
        mean = np.divide(
            np.bincount(latent, weights=exact, minlength=self.n_latents),
            count,
            out=np.zeros(self.n_latents),
            where=count > 0,
        )
        squares = np.bincount(latent, weights=(exact - mean[latent]) ** 2, minlength=self.n_latents).astype(np.float64)
        self._merge_moments(count, mean, squares)

    def _merge_moments(self, count: NDArray[np.int64], mean: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
        # Chan et al. 1979: sums of squares about two means become one about the common mean without cancellation
        total = self.n_fired + count
        delta = mean - self.mean
        share = np.divide(count, total, out=np.zeros(self.n_latents), where=total > 0)
        self.squares += squares + delta**2 * self.n_fired * share
        self.mean += delta * share
        self.n_fired = total

    def _offer(
        self, reservoir: Reservoir, key: NDArray[np.uint64], fires: NDArray[np.int64], firings: Firings, rows: Rows
    ) -> None:
        entering = reservoir.may_enter(firings.latent[fires], key)
        picked = fires[entering]
        row = firings.row[picked]
        found = windows(firings, rows, picked, left=self.config.left, right=self.config.right)
        payload = {"value": firings.value[picked], "window": found}
        reservoir.offer(Entries(firings.latent[picked], key[entering], rows.document[row], rows.position[row], payload))


COUNTERS = ("n_negative", "n_contexts", "histogram")
RESERVOIRS = ("top", "sample", "documents")


def merge_states(first: LatentState, second: LatentState) -> LatentState:
    """The state of one pass over what two passes saw, which may share no context. The arguments stay as they are.

    Raises ConfigError if the two kept different things.
    """
    if first.config != second.config or first.n_latents != second.n_latents:
        raise ConfigError(
            "two scans can be merged only with the same number of latents and the same settings, but they have "
            f"{first.n_latents} and {second.n_latents} latents, {first.config} and {second.config}."
        )
    merged = LatentState(first.n_latents, first.config)
    for part in (first, second):
        merged.n_rows += part.n_rows
        for name in COUNTERS:
            getattr(merged, name)[...] += getattr(part, name)
        merged.maximum = np.maximum(merged.maximum, part.maximum)
        merged._merge_moments(part.n_fired, part.mean, part.squares)
        for name in RESERVOIRS:
            getattr(merged, name).merge(getattr(part, name))
        merged.background.merge(part.background)
    return merged
