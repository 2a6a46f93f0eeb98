"""A planted absorption: words of known letters, a dictionary in which some words' latents carry the letter, and a model's head.

An activation is a letter's direction and its word's. The dictionary has a latent for each letter and each word, and a second one
for each absorbed word, whose decoder row holds the letter too. In a known share of the word's rows it takes the place of both:
the letter's latent is then silent (or, at a strength below 1, weaker). Codes rebuild activations exactly, whichever way they go.

Letters: N rows (words in a context), D width, F latents.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from monoseme.core.seeds import generator
from monoseme.tensors.shapes import Bool, Float, Tensor

_LETTERS = "AEIOS"
_WORDS_PER_LETTER = 6
_ROWS_PER_WORD = 20
_LETTER_SIZE, _WORD_SIZE = 8.0, 3.0


@dataclass(frozen=True, eq=False)
class PlantedAbsorption:
    """What is known of the rows. All tensors are float64."""

    words: tuple[str, ...]
    """Of each row; each word has as many rows."""
    x: Float[Tensor, "N D"]
    codes: Float[Tensor, "N F"]
    writes: Float[Tensor, "F D"]
    """Unit decoder rows: `codes @ writes` is `x`."""
    head: Float[Tensor, "D V"]
    """Logits of the 26 letters are `x @ head`."""
    letter_latents: Mapping[str, int]
    """Letter -> its own latent."""
    absorbers: Mapping[str, int]
    """Absorbed word -> the latent that stands in."""
    is_absorbed: Bool[Tensor, " N"]

    @property
    def letters(self) -> tuple[str, ...]:
        """First letter of each row's word."""
        return tuple(word[0].upper() for word in self.words)

    def rows(self, letter: str) -> Bool[Tensor, " N"]:
        """Which rows are words of that letter."""
        return torch.tensor([own == letter for own in self.letters])

    def direction(self, letter: str) -> Float[Tensor, " D"]:
        """What a perfect probe of that letter looks for."""
        return self.writes[self.letter_latents[letter]]

    def ablation_scores(self, letter: str) -> Float[Tensor, "N F"]:
        """By how much the letter's logit over the mean of the other 25 changes when a latent is taken out, one at a time."""
        own = string.ascii_uppercase.index(letter)
        others = [i for i in range(len(string.ascii_uppercase)) if i != own]
        logits = self.x @ self.head
        without = logits[:, None] - self.codes[..., None] * (self.writes @ self.head)
        return _difference(without, own, others) - _difference(logits, own, others)[:, None]


def planted_absorption(
    absorbed: Mapping[str, float] | None = None, *, strength: float = 1.0, width: int = 64, seed: int = 0
) -> PlantedAbsorption:
    """30 words of five letters, named S0 to S5 and so on, in 20 rows each.

    `absorbed` maps a word to the share of its rows in which its latent takes over `strength` of the letter; None: "S0", "S1" and
    "S2" in all, half and a quarter of theirs.

    >>> planted_absorption().is_absorbed.sum()
    tensor(35)
    """
    rates = {"S0": 1.0, "S1": 0.5, "S2": 0.25} if absorbed is None else absorbed
    names = [f"{letter}{i}" for letter in _LETTERS for i in range(_WORDS_PER_LETTER)]
    stream = generator(seed, "planted", "absorption")
    basis = torch.linalg.qr(torch.randn(width, len(_LETTERS) + len(names), generator=stream, dtype=torch.float64)).Q.T
    letters = dict(zip(_LETTERS, range(len(_LETTERS)), strict=True))
    own = dict(zip(names, range(len(letters), len(basis)), strict=True))
    absorbers = dict(zip(rates, range(len(basis), len(basis) + len(rates)), strict=True))
    held = [strength * _LETTER_SIZE * basis[letters[word[0]]] + _WORD_SIZE * basis[own[word]] for word in rates]
    writes = torch.cat([basis, functional.normalize(torch.stack(held), dim=1)]) if held else basis
    words = tuple(word for word in names for _ in range(_ROWS_PER_WORD))
    taken = torch.tensor([i < round(rates.get(word, 0.0) * _ROWS_PER_WORD) for word in names for i in range(_ROWS_PER_WORD)])
    codes = torch.zeros(len(words), len(writes), dtype=torch.float64)
    for row, word in enumerate(words):
        if taken[row]:
            codes[row, absorbers[word]] = float(held[list(rates).index(word)].norm())
            codes[row, letters[word[0]]] = (1 - strength) * _LETTER_SIZE
        else:
            codes[row, own[word]], codes[row, letters[word[0]]] = _WORD_SIZE, _LETTER_SIZE
    codes *= 1 + 0.1 * torch.rand(len(words), 1, generator=stream, dtype=torch.float64)
    head = torch.zeros(width, len(string.ascii_uppercase), dtype=torch.float64)
    for letter, latent in letters.items():
        head[:, string.ascii_uppercase.index(letter)] = basis[latent]
    return PlantedAbsorption(words, codes @ writes, codes, writes, head, letters, absorbers, taken)


def _difference(logits: Tensor, own: int, others: list[int]) -> Tensor:
    return logits[..., own] - logits[..., others].mean(-1)
