"""Which of the kept firings are shown: the strongest, and a few from each tenth of the activations.

Each list has one example of a document, so no two windows of it overlap, and no near-duplicate by text of a better one
(`near_duplicates.py`): more are kept than are shown, and those behind move up.

Letters: F latents, E examples, W width of a window.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.bins import N_BINS, N_DECILES, bin_of, locate, quantiles
from monoseme.atlas.scanning.near_duplicates import says_something_new
from monoseme.atlas.scanning.reservoir import Entries, Reservoir, join_entries
from monoseme.atlas.scanning.state import LatentState, StateConfig
from monoseme.atlas.text_store import TextStore

_CANDIDATES_PER_SHOWN = 2
"""Firings of a decile that are looked at for each that is shown."""


class ExampleRows(NamedTuple):
    """Shown examples sorted by (latent, decile, rank)."""

    latent: NDArray[np.int64]
    decile: NDArray[np.int8]
    """-1: among the strongest; 0 to 9: from that tenth of the firings, 0 the weakest."""
    rank: NDArray[np.int16]
    """Among the strongest: 0 is the strongest. In a decile: the order of the sample, which is random."""
    entries: Entries
    n_near_duplicates: NDArray[np.int64]
    """[F] firings that would have been shown, but for the text of a better one."""


class _Shown(NamedTuple):
    entries: Entries
    dropped: NDArray[np.int64]
    """The group of each entry that was left out for its text."""


def decile_edges(state: LatentState) -> NDArray[np.float64]:
    """The 11 edges of the tenths of each latent's positive activations, [F, 11]; NaN where it never fired.

    The histogram says, of all firings, in which bin an edge lies and how many firings of the bin are below it; where in the bin,
    the sampled firings say. Of a latent all of whose firings are sampled, the edges are those of its firings.
    """
    levels = np.linspace(0.0, 1.0, N_DECILES + 1)
    by_bin = quantiles(state.histogram, levels, maximum=state.maximum)
    sample = state.sample.entries()
    value = sample.payload["value"]
    order = np.lexsort((value, sample.group))
    ordered = value[order].astype(np.float64)
    cell = sample.group[order] * N_BINS + bin_of(value[order])
    at, share = locate(state.histogram, levels)
    wanted = np.arange(state.n_latents)[:, None] * N_BINS + at
    first = np.searchsorted(cell, wanted, side="left")
    n_sampled = np.searchsorted(cell, wanted, side="right") - first
    # the middle of the gap between the sampled firings below the edge and those above it
    place = np.clip(share * n_sampled - 0.5, 0.0, np.maximum(n_sampled - 1, 0))
    below = first + np.floor(place).astype(np.int64)
    above = first + np.ceil(place).astype(np.int64)
    if not len(ordered):
        return by_bin
    last = len(ordered) - 1
    low, high = ordered[np.minimum(below, last)], ordered[np.minimum(above, last)]
    edges = np.where(n_sampled > 0, low + (place - np.floor(place)) * (high - low), by_bin)
    edges[:, -1] = by_bin[:, -1]  # the maximum, which may not be sampled
    return edges


def choose_examples(state: LatentState, text: TextStore, *, n_per_decile: int) -> ExampleRows:
    """The strongest examples of each latent and `n_per_decile` of each decile."""
    config = state.config
    top = _shown(state.top.entries(), config.n_top, config, text)
    sample = state.sample.entries()
    inner = decile_edges(state)[:, 1:-1]
    decile = (sample.payload["value"][:, None] >= inner[sample.group]).sum(axis=1)
    size = n_per_decile * _CANDIDATES_PER_SHOWN
    chosen = Reservoir(state.n_latents * N_DECILES, size, distinct_documents=True, payload=state.sample.payload_specs)
    chosen.offer(sample._replace(group=sample.group * N_DECILES + decile))
    tenths = _shown(chosen.entries(), n_per_decile, config, text)
    dropped = np.concatenate([top.dropped, tenths.dropped // N_DECILES])
    return _in_order(top.entries, tenths.entries, np.bincount(dropped, minlength=state.n_latents))


def _shown(entries: Entries, n: int, config: StateConfig, text: TextStore) -> _Shown:
    """The first n entries of each group that say something new; all are of different documents."""
    around = [offset for offset in range(-config.left, config.right + 1) if offset]

    def tokens(at: NDArray[np.int64]) -> NDArray[np.int64]:
        return text.gather(entries.document[at], entries.position[at], around)

    is_new = says_something_new(entries.group, tokens)
    counted = np.cumsum(is_new)
    begins = np.searchsorted(entries.group, entries.group, side="left")
    n_before = counted - is_new - (counted[begins] - is_new[begins])  # new ones of the same group before each entry
    return _Shown(entries.pick(is_new & (n_before < n)), entries.group[~is_new & (n_before < n)])


def _in_order(top: Entries, tenths: Entries, n_near_duplicates: NDArray[np.int64]) -> ExampleRows:
    group = np.concatenate(
        [top.group * (N_DECILES + 1), (tenths.group // N_DECILES) * (N_DECILES + 1) + 1 + tenths.group % N_DECILES]
    )
    order = np.argsort(group, kind="stable")
    group = group[order]
    rank = np.arange(len(group)) - np.searchsorted(group, group, side="left")
    latent, place = np.divmod(group, N_DECILES + 1)
    entries = join_entries([top, tenths]).pick(order)
    return ExampleRows(latent, (place - 1).astype(np.int8), rank.astype(np.int16), entries, n_near_duplicates)
