"""What explainers and scorers read of an atlas: where latents fire, where they do not, and the text there.

Letters: F latents, E sampled firings, M background tokens.
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.kept_codes import KeptCodes
from monoseme.atlas.latents import Latents
from monoseme.atlas.split import is_heldout
from monoseme.atlas.text_store import TextStore


class Places(NamedTuple):
    """Tokens in the text, arrays [n]."""

    document: NDArray[np.int64]
    position: NDArray[np.int64]


class Evidence:
    """Firings and background of one (SAE, part), in two halves of disjoint documents."""

    def __init__(self, latents: Latents, text: TextStore) -> None:
        self.latents, self.text = latents, text
        sample = latents.firing_sample()
        background = latents.background_sample()
        self._sample = sample
        self._starts = np.searchsorted(sample.latent, np.arange(latents.n_latents + 1))
        self._heldout_firing = is_heldout(sample.document)
        self._background = Places(background.document, background.position)
        self._code_starts = np.searchsorted(background.latent, np.arange(latents.n_latents + 1))
        self._code_rows = background.row
        self._heldout_row = is_heldout(background.document)
        # number of each background row within its half
        self._number = np.where(self._heldout_row, np.cumsum(self._heldout_row), np.cumsum(~self._heldout_row)) - 1

    @functools.cached_property
    def densities(self) -> NDArray[np.float64]:
        """Density of each latent over the whole scan, [F]."""
        return self.latents.densities()

    def firings(self, latent: int, *, heldout: bool) -> Places:
        """The sampled firings of a latent in one half of the documents."""
        at = slice(int(self._starts[latent]), int(self._starts[latent + 1]))
        chosen = self._heldout_firing[at] == heldout
        return Places(self._sample.document[at][chosen], self._sample.position[at][chosen])

    def background(self, *, heldout: bool) -> Places:
        """The sampled tokens in one half of the documents, whatever fires on them."""
        chosen = self._heldout_row == heldout
        return Places(self._background.document[chosen], self._background.position[chosen])

    def fires_in_background(self, latent: int, *, heldout: bool) -> NDArray[np.int64]:
        """Rows of `background` on which the latent fires."""
        rows = self._code_rows[int(self._code_starts[latent]) : int(self._code_starts[latent + 1])]
        return self._number[rows[self._heldout_row[rows] == heldout]]

    @functools.cached_property
    def kept(self) -> KeptCodes | None:
        """All codes of the contexts that were drawn to be kept whole; None for an atlas that keeps none."""
        return self.latents.kept_codes()

    @property
    def why_no_codes(self) -> str | None:
        """Why `kept` is None; None where it is not."""
        if self.kept is not None:
            return None
        return "the atlas keeps no codes of whole contexts, so that no text is known to be silent; scan again"
