"""A latent in words: its explanation where an atlas has one, and the tokens on which it fires most."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from monoseme.studies._dictionaries.members import Dictionary
from monoseme.studies._explained import Explained

_N_TOKENS = 5
_N_FIRINGS = 40
"""Strongest firings among which the tokens are looked for."""


class Words(NamedTuple):
    """What can be said of latents."""

    explained: Explained
    tokens: np.ndarray
    """[T] ids of the tokens that the codes are of."""
    decode: Callable[[Sequence[int]], list[str]]
    """Token ids -> their texts."""

    def of(self, dictionary: Dictionary, place: int) -> str:
        """The latent at that place of a dictionary: its explanation if it has one, and its strongest tokens."""
        said = self.explained.of(dictionary.subject.sae_name, int(dictionary.numbers[place]))
        tokens = self.top_tokens(dictionary, place)
        return f"{said}; strongest on {tokens}" if said else f"strongest on {tokens}"

    def top_tokens(self, dictionary: Dictionary, place: int) -> str:
        """Different tokens of its strongest firings, in quotes."""
        column = dictionary.codes.codes[:, [place]]
        order = np.argsort(-column.data, kind="stable")[:_N_FIRINGS]
        ids = dict.fromkeys(self.tokens[column.indices[order]].tolist())
        return " ".join(f'"{text}"' for text in self.decode(list(ids)[:_N_TOKENS]))
