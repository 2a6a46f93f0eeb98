"""Several sources as one: blocks of each in the proportions asked for, the small ones over and over."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.block import Block
from monoseme.activations.block_order import drawn_order
from monoseme.activations.source import ActivationSource, SourceSeconds, iterate_blocks
from monoseme.core.errors import ConfigError, SiteError
from monoseme.tensors.shapes import Int, Tensor

_MOST_OFTEN, _LEAST_LIMIT = 100, 1_000_000
"""A pass has at most so many times the blocks of all sources, or so many blocks where these are few: turns are kept in memory."""


class _Turn(NamedTuple):
    """Where block i of the mixture comes from."""

    source: int
    number: int
    """Its how-manieth block of that source, passes before it counted."""


class MixtureSource:
    """Blocks of sources by turns. Among the first i blocks, a source of weight w has w i, give or take one.

    One pass goes on until each source was gone through once; those that are at their end before begin again, in a new
    order. Which blocks those are is a pure function of the sources, the weights and the seed.
    A token is known by its source's numbers: documents of two sources may have the same.
    """

    any_order = True

    def __init__(self, sources: Sequence[ActivationSource], weights: Sequence[float] | None = None, *, seed: int = 0) -> None:
        """Weights are shares of the blocks, of any sum; None: by the number of blocks, so that every block comes once.

        Raises ConfigError for fewer than two sources, sources that must be read in order, weights that are not one above 0
        for each or too unequal to go through every source in a pass; SiteError where sites or widths differ.
        """
        if len(sources) < 2:
            raise ConfigError(f"a mixture needs two sources or more, not {len(sources)}")
        if not all(source.any_order for source in sources):
            raise ConfigError("a mixture takes stored activations: a live source is read from its start to its end")
        _require_same_sites(sources)
        self._sources, self._seed = list(sources), seed
        self.sites, self.widths = sources[0].sites, sources[0].widths
        self.weights = _shares(weights, sources)
        self._n_blocks = _pass_length([source.n_blocks for source in sources], self.weights)
        self._turns = _turns(self._n_blocks, self.weights)
        self._numbers = _counted(self._turns, len(sources))
        self._orders: dict[tuple[int, int], Tensor] = {}

    @property
    def n_blocks(self) -> int:
        """Blocks of one pass."""
        return self._n_blocks

    @property
    def spec(self) -> dict[str, Any]:
        """All the sources, the weights as shares and the seed."""
        specs = [source.spec for source in self._sources]
        return {"kind": "mixture", "sources": specs, "weights": list(self.weights), "seed": self._seed}

    @property
    def seconds(self) -> SourceSeconds:
        """Those of all the sources together."""
        each = [source.seconds for source in self._sources]
        return SourceSeconds(reading=sum(s.reading for s in each), model=sum(s.model for s in each))

    def order(self, seed: int, epoch: int) -> Int[Tensor, " n_blocks"]:
        """By turns as above; which block it is when a source's turn comes is drawn for each epoch."""
        order = np.arange(self._n_blocks)
        for s in range(len(self._sources)):
            mine = np.flatnonzero(self._turns == s)
            order[mine] = mine[drawn_order(len(mine), seed=seed, epoch=epoch * len(self._sources) + s).numpy()]
        return torch.from_numpy(order)

    def will_need(self, blocks: Sequence[int]) -> None:
        """Tells each source of its own."""
        turns = [self._turn(i) for i in blocks if self.has_block(i)]
        for s, source in enumerate(self._sources):
            source.will_need([self._place(turn) for turn in turns if turn.source == s])

    def has_block(self, i: int) -> bool:
        """Whether there is a block i."""
        return 0 <= i < self._n_blocks

    def block(self, i: int) -> Block:
        """Block i. Raises IndexError if there is none, and what the sources raise."""
        if not self.has_block(i):
            raise IndexError(f"no block {i} of {self._n_blocks}")
        turn = self._turn(i)
        return replace(self._sources[turn.source].block(self._place(turn)), index=i)

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The blocks from `start` to the last, by turns."""
        return iterate_blocks(self, start)

    def __repr__(self) -> str:
        """The sources and their shares."""
        return f"MixtureSource({self._sources!r}, weights={list(self.weights)}, seed={self._seed})"

    def _turn(self, i: int) -> _Turn:
        return _Turn(int(self._turns[i]), int(self._numbers[i]))

    def _place(self, turn: _Turn) -> int:
        """The block in its source: every pass over it is in an order of its own."""
        n_blocks = self._sources[turn.source].n_blocks
        over, place = divmod(turn.number, n_blocks)
        key = (turn.source, over)
        if key not in self._orders:
            self._orders[key] = drawn_order(n_blocks, seed=self._seed, epoch=over * len(self._sources) + turn.source)
        return int(self._orders[key][place])


def _shares(weights: Sequence[float] | None, sources: Sequence[ActivationSource]) -> tuple[float, ...]:
    given = [float(source.n_blocks) for source in sources] if weights is None else list(weights)
    if len(given) != len(sources) or not all(math.isfinite(w) and w > 0 for w in given):
        raise ConfigError(f"weights are {tuple(given)} for {len(sources)} sources.\n  Give one above 0 for each.")
    largest = max(given)  # by which they are divided first: a sum may overflow
    total = sum(w / largest for w in given)
    return tuple(w / largest / total for w in given)


def _pass_length(lengths: Sequence[int], weights: tuple[float, ...]) -> int:
    """Blocks until each source was gone through. Raises ConfigError where others would be gone through far too often by then."""
    longest = max(_LEAST_LIMIT, _MOST_OFTEN * sum(lengths))
    # Compared as products: a share may be 0 by now.
    slow = [s for s, (n, w) in enumerate(zip(lengths, weights, strict=True)) if n > longest * w]
    if slow:
        shares = ", ".join(f"{w:g}" for w in weights)
        raise ConfigError(
            f"weights are so unequal ({shares} of the blocks) that source {slow[0]} would not be gone through within {longest:,} "
            f"blocks.\n  Give it at least {lengths[slow[0]] / longest:.2g} of them, or leave it out."
        )
    return max(math.ceil(round(n / w, 9)) for n, w in zip(lengths, weights, strict=True))


def _turns(n_blocks: int, weights: tuple[float, ...]) -> NDArray[np.int16]:
    """Whose turn each block is: source s has its c-th block (from 0) as near as can be to place (c + 1/2) / w of the sequence."""
    counts = [math.ceil(n_blocks * w) + 1 for w in weights]
    ideal = np.concatenate([(np.arange(n) + 0.5) / w for n, w in zip(counts, weights, strict=True)])
    owner = np.concatenate([np.full(n, s, np.int16) for s, n in enumerate(counts)])
    return owner[np.lexsort((owner, ideal))][:n_blocks]


def _counted(turns: NDArray[np.int16], n_sources: int) -> NDArray[np.int64]:
    """The how-manieth of its source each block is."""
    numbers = np.empty(len(turns), np.int64)
    for s in range(n_sources):
        mine = turns == s
        numbers[mine] = np.arange(int(mine.sum()))
    return numbers


def _require_same_sites(sources: Sequence[ActivationSource]) -> None:
    wanted = {str(site): width for site, width in sources[0].widths.items()}
    for source in sources[1:]:
        found: Mapping[str, int] = {str(site): width for site, width in source.widths.items()}
        if found != wanted:
            raise SiteError(f"the sources of a mixture hold different sites or widths: {wanted} and {dict(found)}")
