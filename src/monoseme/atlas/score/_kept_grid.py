"""The kept contexts as a grid of equal rows with one latent's activations: what other tools sample their windows from.

Letters: C contexts, S tokens of each.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.kept_codes import KeptCodes


class KeptGrid:
    """Contexts cut to one length, so chosen that the most tokens remain; shorter ones are left out."""

    def __init__(self, evidence: Evidence, kept: KeptCodes) -> None:
        lengths = np.diff(kept.contexts)
        choices = np.unique(lengths)[::-1]
        self.length = int(max(choices, key=lambda length: length * (lengths >= length).sum())) if len(choices) else 0
        self._kept = kept
        begins = kept.contexts[:-1][lengths >= self.length]
        self.rows = begins[:, None] + np.arange(self.length)
        """[C, S] row of each token in the kept codes."""
        flat = self.rows.reshape(-1)
        self.document, self.position = (np.asarray(of)[self.rows] for of in (kept.document, kept.position))
        tokens = evidence.text.gather(np.asarray(kept.document[flat]), np.asarray(kept.position[flat]), [0])
        self.tokens: NDArray[np.int64] = tokens[:, 0].reshape(self.rows.shape)
        self._text = evidence.text

    def activations(self, latent: int) -> NDArray[np.float32]:
        """[C, S]; 0 where it does not fire, negative codes too."""
        dense = np.zeros(self._kept.n_tokens, dtype=np.float32)
        rows, values = self._kept.of_latent(latent)
        dense[rows] = np.maximum(values, 0)
        return dense[self.rows]

    def texts(self, tokens: NDArray[np.int64]) -> tuple[str, ...]:
        """What tokens are shown as."""
        return tuple(self._text.token_text(token) for token in tokens.tolist())


class Window(NamedTuple):
    """A stretch of one row of the grid."""

    row: int
    first: int
    """Column of its first token."""
    tokens: NDArray[np.int64]
    values: NDArray[np.float32]
    """The latent's real activations."""
