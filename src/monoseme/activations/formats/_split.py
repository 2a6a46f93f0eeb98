"""Which contexts are held out, and which make a block: a pure function of the units and the seed. Letters: n contexts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.seeds import derive_seed


class BlockPlan(NamedTuple):
    """Blocks of contexts of one side: those for training in the store's order, then the held-out ones."""

    order: NDArray[np.int64]
    """[n] contexts, block after block."""
    n_train: int
    """Contexts for training: the first of `order`."""
    per_block: int

    @property
    def n_train_blocks(self) -> int:
        """Blocks for training; the last may be short."""
        return -(-self.n_train // self.per_block)

    @property
    def n_blocks(self) -> int:
        """All blocks."""
        return self.n_train_blocks + -(-(len(self.order) - self.n_train) // self.per_block)

    def contexts(self, i: int) -> NDArray[np.int64]:
        """The contexts of block i. Raises IndexError if there is none."""
        if not 0 <= i < self.n_blocks:
            raise IndexError(f"no block {i} in {self.n_blocks}")
        if i < self.n_train_blocks:
            return self.order[: self.n_train][i * self.per_block : (i + 1) * self.per_block]
        start = self.n_train + (i - self.n_train_blocks) * self.per_block
        return self.order[start : start + self.per_block]


def plan_blocks(units: NDArray[np.int64], *, fraction: float, seed: int, per_block: int) -> BlockPlan:
    """Holds out a unit when the hash of its number with the seed falls below the fraction.

    A fraction above 0 holds out one unit at least where there are two; one unit alone is for training.
    """
    held = heldout_units(units, fraction=fraction, seed=seed)
    order = np.concatenate([np.flatnonzero(~held), np.flatnonzero(held)])
    return BlockPlan(order, int((~held).sum()), per_block)


def heldout_units(units: NDArray[np.int64], *, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Whether the unit of each context is held out."""
    place = _mixed(units, derive_seed(seed, "import", "holdout"))
    held = place < fraction
    if fraction > 0 and len(units) and (held.all() or not held.any()):
        # Too few for the fraction: the unit nearest to the border changes sides, if another one stays behind.
        nearest = place == (place.max() if held.all() else place.min())
        held = held ^ nearest if not nearest.all() else np.zeros_like(held)
    return held


def _mixed(units: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each unit: SplitMix64 of its number and the seed. Source: Steele et al. 2014, "Fast Splittable
    Pseudorandom Number Generators", the finaliser of `java.util.SplittableRandom`. One hash per name in Python would take a
    minute for the 25 million sentences that a store can have.
    """
    with np.errstate(over="ignore"):
        z = units.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53
