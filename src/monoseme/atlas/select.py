"""Which of the kept firings are shown: the strongest, and a few from each tenth of the activations.

Letters: F latents, E examples, W width of a window.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.bins import quantiles
from monoseme.atlas.reservoir import Entries, Reservoir, join_entries
from monoseme.atlas.state import LatentState

N_DECILES = 10


class ExampleRows(NamedTuple):
    """Shown examples sorted by (latent, decile, rank)."""

    latent: NDArray[np.int64]
    decile: NDArray[np.int8]
    """-1: among the strongest; 0 to 9: from that tenth of the firings, 0 the weakest."""
    rank: NDArray[np.int16]
    """Among the strongest: 0 is the strongest. In a decile: the order of the sample, which is random."""
    entries: Entries


def decile_edges(state: LatentState) -> NDArray[np.float64]:
    """The 11 edges of the tenths of each latent's positive activations, [F, 11]; NaN where it never fired.

    Read from the histogram, so they are those of all firings and not of the sample.
    """
    return quantiles(state.histogram, np.linspace(0.0, 1.0, N_DECILES + 1), maximum=state.maximum)


def choose_examples(state: LatentState, *, n_per_decile: int) -> ExampleRows:
    """The strongest examples of each latent, each of another document, and `n_per_decile` of each decile, likewise."""
    top = state.top.entries()
    sample = state.sample.entries()
    inner = decile_edges(state)[:, 1:-1]
    decile = (sample.payload["value"][:, None] >= inner[sample.group]).sum(axis=1)
    chosen = Reservoir(state.n_latents * N_DECILES, n_per_decile, distinct_documents=True, payload=state.sample.payload_specs)
    chosen.offer(sample._replace(group=sample.group * N_DECILES + decile))
    tenths = chosen.entries()
    group = np.concatenate(
        [top.group * (N_DECILES + 1), (tenths.group // N_DECILES) * (N_DECILES + 1) + 1 + tenths.group % N_DECILES]
    )
    order = np.argsort(group, kind="stable")
    group = group[order]
    rank = np.arange(len(group)) - np.searchsorted(group, group, side="left")
    latent, place = np.divmod(group, N_DECILES + 1)
    entries = join_entries([top, tenths]).pick(order)
    return ExampleRows(latent, (place - 1).astype(np.int8), rank.astype(np.int16), entries)
