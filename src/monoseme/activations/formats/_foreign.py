"""A store of another tool, as its format reads it: contexts by number. Letters: n contexts, S positions, R rows, D width."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.activations.store.config import StoredDtype
from monoseme.models.site import Site
from monoseme.tensors.shapes import Int, Tensor


class ForeignText(NamedTuple):
    """What is known of some contexts, their rows one after the other without padding."""

    lengths: Int[Tensor, " n"]
    """Rows of each context, at most S."""
    tokens: Int[Tensor, " R"] | None
    """Token id of each row; None where the store has none."""
    documents: Int[Tensor, " n"]
    """Document of each context."""
    starts: Int[Tensor, " n"]
    """Place of its first row in the document."""


@dataclass(frozen=True, kw_only=True)
class ForeignFacts:
    """What a store holds, known before its vectors are read."""

    widths: Mapping[Site, int]
    """D of each site, in the order of the store."""
    dtype: StoredDtype
    """The narrowest type of ours that keeps its numbers exactly."""
    context_len: int
    """S."""
    units: NDArray[np.int64]
    """[n] of all contexts: those of one unit, such as a document, are held out together."""
    n_rows: int | None
    """R of all contexts; None where that takes opening every file."""
    has_text: bool
    """Whether token ids, documents and positions are known."""
    fingerprint: str
    """Hash of names and sizes of its files; contents are hashed as they are written to ours."""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else is worth keeping, JSON-able."""
    lost: tuple[str, ...] = ()
    """What of the store does not come along, one sentence each, with the reason."""

    @property
    def n_contexts(self) -> int:
        """n."""
        return len(self.units)


class ForeignStore(ABC):
    """An opened store; any of its contexts can be read at any time."""

    facts: ForeignFacts

    @abstractmethod
    def text(self, contexts: NDArray[np.int64]) -> ForeignText:
        """What is known of the contexts of these numbers; their vectors are not read.

        Raises ForeignError for a file that cannot be read or does not fit the others.
        """

    @abstractmethod
    def rows(self, contexts: NDArray[np.int64]) -> Mapping[Site, Tensor]:
        """Their vectors at each site [R, D], context after context; of a floating type, finite or not. Raises ForeignError."""

    @abstractmethod
    def where(self, context: int) -> str:
        """The place of a context in the store, for messages: a file, and where needed a row."""

    def means(self) -> Mapping[Site, Tensor]:
        """Means over rows that the store itself states, float64 [D]; they are compared with those of the rows."""
        return {}
