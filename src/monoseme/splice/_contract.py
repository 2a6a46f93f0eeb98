"""What a splice asks of an SAE, so that fakes and third parties fit.

Letters: B rows, D model width.
"""

from typing import Any, ClassVar, Protocol, runtime_checkable

from monoseme.saes import Codes
from monoseme.tensors.shapes import Float, Tensor


@runtime_checkable
class SAELike(Protocol):
    """The part of `monoseme.saes.SAE` that a splice uses."""

    reads: ClassVar[Any]  # a text; Any, because a class attribute of a protocol would have to be of exactly its type
    """The view that `encode` takes; a splice gives single tokens."""

    @property
    def d_in(self) -> int:
        """D."""
        ...

    def encode(self, x: Float[Tensor, "B D"], state: Any = None) -> Codes:
        """Codes of raw activations."""
        ...

    def decode(self, codes: Codes) -> Float[Tensor, "B D"]:
        """Raw activations from codes."""
        ...
