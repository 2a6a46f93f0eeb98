"""The bar to beat: a table of tokens, counted on the explaining documents, that says "fires" where a listed token stands.

An explanation that scores no better says nothing that the list of the latent's tokens does not say.

Letters: V tokens of the vocabulary, T distinct tokens on which the latent fires.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.score._items import Item


class TokenTable(NamedTuple):
    """How surely a latent fires on each token."""

    tokens: NDArray[np.int64]
    """[T] ascending."""
    precision: NDArray[np.float64]
    """[T] share of the token's occurrences on which the latent fires, in [0, 1]."""

    def of(self, tokens: Sequence[int]) -> NDArray[np.float64]:
        """Precision of each token, [n]; 0 for one on which the latent was not seen to fire."""
        wanted = np.asarray(tokens, dtype=np.int64)
        if not len(self.tokens):
            return np.zeros(len(wanted))
        at = np.minimum(np.searchsorted(self.tokens, wanted), len(self.tokens) - 1)
        return np.where(self.tokens[at] == wanted, self.precision[at], 0.0)

    def strength(self, item: Item) -> float:
        """What the table says of an item: of the surest token in it; where tokens are marked, the mean over these.

        Tokens that are kept from the SAE do not count.
        """
        if item.marked:
            return float(self.of([item.excerpt.tokens[i] for i in item.marked]).mean())
        known = zip(item.excerpt.tokens, item.excerpt.values, strict=True)
        return float(self.of([token for token, value in known if value is not None]).max(initial=0.0))


class TokenLookup:
    """Makes the tables of latents from the explaining half of the documents."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        places = evidence.background(heldout=False)
        self._background = evidence.text.gather(places.document, places.position, [0])[:, 0]
        self._counts = np.bincount(self._background, minlength=len(evidence.text.token_counts))

    def table(self, latent: int) -> TokenTable:
        """The table of one latent; without tokens where it has no firing to count.

        Precision is density x share of its firings on the token / all, where silent tokens are the sampled ones on which it does
        not fire, half a token added to each so that what was not seen is rare and not impossible.
        """
        places = self._evidence.firings(latent, heldout=False)
        own = self._evidence.text.gather(places.document, places.position, [0])[:, 0]
        tokens, counts = np.unique(own, return_counts=True)
        fires = self._background[self._evidence.fires_in_background(latent, heldout=False)]
        elsewhere = self._counts[tokens] - np.array([(fires == token).sum() for token in tokens.tolist()], dtype=np.int64)
        density = float(self._evidence.densities[latent])
        hits = density * counts / max(1, len(own))
        misses = (1 - density) * (elsewhere + 0.5) / (len(self._background) - len(fires) + 1)
        return TokenTable(tokens, hits / (hits + misses))


def best_threshold(table: TokenTable, items: Sequence[Item]) -> float:
    """The strength from which "fires" has the best balanced accuracy on explaining items; the largest of equals.

    0.5 without items of both kinds.
    """
    fires = np.array([item.fires for item in items], dtype=bool)
    strength = np.array([table.strength(item) for item in items])
    if fires.all() or not fires.any():
        return 0.5
    levels = np.unique(strength)[::-1]
    hits = (strength[fires][None, :] >= levels[:, None]).mean(axis=1)
    alarms = (strength[~fires][None, :] >= levels[:, None]).mean(axis=1)
    return float(levels[(hits - alarms).argmax()])
