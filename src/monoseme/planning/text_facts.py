"""The text of a run, tokenised for its plan: how many tokens, contexts and documents, and how long that took."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from monoseme.core.display import AtMost, get_display
from monoseme.text import CorpusConfig, TokenStore
from monoseme.text.bundled import is_bundled

_GROUPS_READ = 2
"""Groups (about a million tokens each) read of a corpus that arrives over the network, when nothing says where it ends."""


class TextFacts(NamedTuple):
    """What tokenising told."""

    n_tokens: int
    """Of all documents read."""
    n_documents: int
    whole: bool
    """Whether that is all of the corpus; else it goes on, nobody knows how far."""
    seconds: float
    """Spent reading and tokenising."""
    memory_bytes: int
    """What the store and its contexts hold for the tokens read."""

    @property
    def tokens_per_second(self) -> float:
        """Of reading and tokenising."""
        return self.n_tokens / max(self.seconds, 1e-9)


NO_TEXT = TextFacts(n_tokens=0, n_documents=0, whole=True, seconds=0.0, memory_bytes=0)
"""Of a run that reads none."""


def read_text(store: TokenStore, *, began: float) -> TextFacts:
    """Tokenises the corpus of `store` to its end, or its first groups where it may have none; `began` is when it was opened."""
    whole = has_known_end(store.config, store.max_tokens)
    with get_display().progress("tokenise", total=AtMost.of(store.max_tokens), unit="tokens") as bar:
        told = 0
        while (whole or len(store.groups) < _GROUPS_READ) and store.has_group(len(store.groups)):
            now = sum(len(group.tokens.ids) for group in store.groups)
            bar.advance(now - told)
            told = now
        bar.advance(sum(len(group.tokens.ids) for group in store.groups) - told)
    groups = store.groups
    return TextFacts(
        n_tokens=sum(len(group.tokens.ids) for group in groups),
        n_documents=sum(group.n_sections for group in groups),
        whole=whole,
        seconds=time.perf_counter() - began,
        memory_bytes=store_bytes(store),
    )


def has_known_end(config: CorpusConfig, max_tokens: int | None) -> bool:
    """Whether the corpus can be read to its end in a plan: it lies here, or is cut after so many tokens."""
    return (
        max_tokens is not None or is_bundled(config.source) or Path(config.source).expanduser().exists() or not config.streaming
    )


def store_bytes(store: TokenStore) -> int:
    """Of token ids in memory, and of what is known of each section."""
    kept = 0
    for group in store.groups:
        arrays = [*group.tokens, group.offsets, group.source, group.label, group.row, group.heldout]
        kept += sum(array.nbytes for array in arrays if array is not None and not isinstance(array, np.memmap))
    return kept
