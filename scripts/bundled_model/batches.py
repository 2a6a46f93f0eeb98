"""Windows of tokens for training: which source, where it begins, and the same order for the same seed.

Letters: B rows of a batch, T tokens of a window.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

BOS_ID = 1


class Source(NamedTuple):
    """One stream of tokens and how to cut windows from it."""

    ids: np.ndarray
    document_starts: np.ndarray
    share: float
    """Fraction of the rows that come from here."""
    at_start_fraction: float
    """Fraction of its windows that begin where a document does; the others begin anywhere."""


class Mixture(NamedTuple):
    """What one line of `MIXTURE` says."""

    share: float
    at_start_fraction: float


# The generated stories are the model's main domain and few (2.9 M tokens in either form); the books are ten times more.
MIXTURE = {
    "stories": Mixture(0.50, 0.75),
    "books": Mixture(0.44, 0.0),
    "wikipedia": Mixture(0.035, 0.5),
    "medical": Mixture(0.025, 0.5),
}

BOS_FRACTION = 0.5
"""Share of the windows from inside a document whose first token becomes BOS: users cut texts anywhere, then add BOS."""


def load_sources(folder: Path) -> list[Source]:
    """The sources of MIXTURE, from the files that prepare.py wrote."""
    sources = []
    for name, mixture in MIXTURE.items():
        ids = np.load(folder / f"{name}.npy")
        sources.append(Source(ids, np.flatnonzero(ids == BOS_ID), mixture.share, mixture.at_start_fraction))
    return sources


def draw_batch(sources: list[Source], *, n_rows: int, seq_len: int, rng: np.random.Generator) -> np.ndarray:
    """Random windows, int64 [B, T+1]: the last column is only ever a target.

    A window that runs past the end of its document goes on into the next one, parted by BOS.
    """
    shares = np.array([source.share for source in sources])
    chosen = rng.choice(len(sources), size=n_rows, p=shares / shares.sum())
    return np.stack([_draw_window(sources[i], seq_len + 1, rng) for i in chosen])


def _draw_window(source: Source, n_tokens: int, rng: np.random.Generator) -> np.ndarray:
    last = source.ids.size - n_tokens
    at_start = rng.random() < source.at_start_fraction
    start = int(rng.choice(source.document_starts)) if at_start else int(rng.integers(last + 1))
    start = min(start, last)
    window = source.ids[start : start + n_tokens].astype(np.int64)
    if not at_start and rng.random() < BOS_FRACTION:
        window[0] = BOS_ID
    return window


def fixed_windows(ids: np.ndarray, *, n_rows: int, seq_len: int) -> np.ndarray:
    """Evenly spaced windows, int64 [B, T+1], for a validation loss that does not vary with a seed."""
    starts = np.linspace(0, ids.size - seq_len - 1, n_rows).astype(np.int64)
    return np.stack([ids[start : start + seq_len + 1] for start in starts]).astype(np.int64)
