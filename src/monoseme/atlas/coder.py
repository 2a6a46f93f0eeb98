"""How new text is run through a model and an SAE: what an atlas alone cannot do, and a run can."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class CodedText(NamedTuple):
    """A text as the model and the SAE read it."""

    texts: tuple[str, ...]
    """Its S tokens."""
    values: NDArray[np.float32]
    """[S, n latents asked for]"""


Coder = Callable[[Sequence[str], Sequence[int]], Sequence[CodedText]]
"""Texts and latents -> each text's tokens with the activations of these latents, tokens that are kept from the SAE left out."""
