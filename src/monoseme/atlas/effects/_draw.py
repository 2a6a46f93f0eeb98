"""Which firings are ablated: some from each tenth of a latent's activations, drawn from the kept tokens.

Letters: F latents, n drawn firings.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.bins import N_DECILES
from monoseme.atlas.kept_codes import KeptCodes
from monoseme.atlas.keys import hash_positions
from monoseme.atlas.text_store import TextStore


class Drawn(NamedTuple):
    """Firings of one latent, arrays [n], sorted by (decile, order of the draw)."""

    row: NDArray[np.int64]
    """Of the kept tokens."""
    value: NDArray[np.float32]
    decile: NDArray[np.int64]
    """The tenth of the latent's activations it is from, 0 the weakest."""


def next_tokens(kept: KeptCodes, text: TextStore) -> NDArray[np.int64]:
    """[M] the token after each kept one in its context and document; -1 where there is none to predict."""
    step = 1 << 16
    parts = [
        text.gather(kept.document[first : first + step], kept.position[first : first + step], [1])[:, 0]
        for first in range(0, kept.n_tokens, step)
    ]
    return np.concatenate([np.empty(0, np.int64), *parts])


def draw_firings(
    kept: KeptCodes, latent: int, *, edges: list[float] | None, has_next: NDArray[np.bool_], per_decile: int, seed: int
) -> Drawn:
    """Up to `per_decile` firings from each tenth, of those that a token follows; `edges` are the tenths' 11 borders.

    A uniform sample within each tenth, and the same tokens for all latents where it can be, so that they are run together: the
    order of the draw is a hash of (seed, document, position).
    """
    codes = kept.of_latent(latent)
    fires = np.nonzero((codes.values > 0) & has_next[codes.rows])[0]
    if edges is None or not len(fires):
        return Drawn(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
    row, value = codes.rows[fires].astype(np.int64), np.asarray(codes.values[fires])
    decile = np.clip(np.searchsorted(np.asarray(edges[1:-1]), value, side="right"), 0, N_DECILES - 1)
    order = np.lexsort((hash_positions(seed, kept.document[row], kept.position[row]), decile))
    starts = np.searchsorted(decile[order], np.arange(N_DECILES))
    chosen = order[np.arange(len(order)) - starts[decile[order]] < per_decile]
    return Drawn(row[chosen], value[chosen], decile[chosen])
