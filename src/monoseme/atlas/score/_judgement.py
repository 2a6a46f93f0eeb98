"""What is put to a judge, one by one, and how new text is run through an SAE."""

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


class CodedText(NamedTuple):
    """A text as the model and the SAE read it."""

    texts: tuple[str, ...]
    """Its S tokens."""
    values: NDArray[np.float32]
    """[S, n latents asked for]"""


Coder = Callable[[Sequence[str], Sequence[int]], Sequence[CodedText]]
"""Texts and latents -> each text's tokens with the activations of these latents, tokens that are kept from the SAE left out."""
