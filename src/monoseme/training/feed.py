"""Where the loop gets its batches: one pass over the activations that serves every SAE, with a cursor to go back to."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor


class Feed(Protocol):
    """An endless sequence of steps, one batch for each SAE; a pure function of its seed and the cursor."""

    def advance(self) -> Sequence[Tensor]:
        """The next step's batches, in the order of the jobs. SAEs with the same view and site share one tensor."""
        ...

    def cursor(self) -> dict[str, Any]:
        """Where the next step begins, as JSON-able values."""
        ...

    def seek(self, cursor: dict[str, Any]) -> None:
        """Goes to a cursor: the batches that follow are those that followed there, to the bit."""
        ...

    def seconds_model(self) -> float:
        """Time spent so far in the language model; 0 where there is none."""
        ...
