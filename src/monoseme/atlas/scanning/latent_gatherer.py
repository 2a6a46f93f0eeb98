"""The first gatherer of every scan: counts, moments, histograms and examples of each latent, and its logits."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

from monoseme.atlas.scanning.firings import Firings, Rows
from monoseme.atlas.scanning.state import LatentState, StateConfig, merge_states
from monoseme.atlas.scanning.state_file import load_state, save_state
from monoseme.atlas.scanning.store import LogitFacts, write_latents
from monoseme.atlas.text_store import TextStore


class LatentGatherer:
    """Holds a `LatentState`; writes the tables of latents and examples."""

    def __init__(
        self, n_latents: int, config: StateConfig, scratch: Path, *, n_per_decile: int, logits: Callable[[], LogitFacts]
    ) -> None:
        """`logits` is asked when the pass is over."""
        self.state = LatentState(n_latents, config)
        self._scratch, self._n_per_decile, self._logits = scratch, n_per_decile, logits

    def add(self, rows: Rows, firings: Firings) -> None:
        """Take in one chunk of whole contexts."""
        self.state.add(rows, firings)

    def checkpoint(self, number: int) -> None:
        """Put the state down beside the one before."""
        save_state(self.state, self._file(number))
        self._file(number - 2).unlink(missing_ok=True)

    def restore(self, number: int) -> None:
        """Take the state up again. Raises ArtifactDamagedError."""
        self.state = load_state(self._file(number))

    def merge(self, other: Self) -> None:
        """Take in the state of other contexts."""
        self.state = merge_states(self.state, other.state)

    def write(self, folder: Path, text: TextStore) -> None:
        """Write the files that `store.py` tells of."""
        write_latents(folder, self.state, logits=self._logits(), text=text, n_per_decile=self._n_per_decile)

    def _file(self, number: int) -> Path:
        return self._scratch / f"state.{number}.npz"
