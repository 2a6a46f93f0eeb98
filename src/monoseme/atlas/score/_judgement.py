"""What is put to a judge, and what it said of each: kept one by one, so that every score can be looked into."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.excerpts import Excerpt

Kind = Literal["top", "decile", "silent", "near_miss", "random", "wrong_marks", "written"]
"""Why an excerpt was chosen: the strongest firings, a tenth of them, silent, silent where neighbours fire, any window, a firing
with the wrong tokens marked; or a sentence that a judge wrote."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """An excerpt with what is true of it."""

    excerpt: Excerpt
    fires: bool
    """Whether yes is the right answer: by the latent's real activations; for marked tokens, whether they are the ones."""
    kind: Kind
    marked: tuple[int, ...] = ()
    """Indices of the tokens that are shown as marked."""

    @property
    def decile(self) -> int | None:
        """The tenth of the latent's activations that a firing excerpt is from; None for any other."""
        return self.excerpt.decile if self.fires else None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What was said of one item: a row of `judgements.parquet`. It has no text: document and position say where that is."""

    latent: int
    told: str
    """Whose explanation was told: `own`, `other` (another latent's), `empty`; `lookup` for what the table of tokens says."""
    told_of: int | None
    """The latent whose explanation it was."""
    question: int
    """Number of the question among those of the latent; items of one question were judged together."""
    kind: str
    document: int | None
    """None for text that a judge wrote."""
    position: int | None
    """Of the focus, or of the first token where there is none."""
    decile: int | None
    truth: float | None
    """What is right: 1 yes, 0 no; or the largest real activation, where activations are what is said."""
    answer: float | None
    """What was said, as a number: a grade from 0 to 9, a similarity, an activation. None where there was no answer to use."""
    says: bool | None
    """What was said, as yes or no; None where no such thing was asked or said."""
    failure: str | None = None
    """Why there is no answer to use."""
    details: str = "{}"
    """What else was shown or said, as a JSON object: marked tokens, levels of each token, the sentence written."""


class CodedText(NamedTuple):
    """A text as the model and the SAE read it."""

    texts: tuple[str, ...]
    """Its S tokens."""
    values: NDArray[np.float32]
    """[S, n latents asked for]"""


Coder = Callable[[Sequence[str], Sequence[int]], Sequence[CodedText]]
"""Texts and latents -> each text's tokens with the activations of these latents, tokens that are kept from the SAE left out."""
