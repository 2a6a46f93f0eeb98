"""A model's activations over a text as what a store is made from: training and held-out contexts by turns."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from monoseme.activations.live import LiveSource
from monoseme.activations.sinks import SinkFilter
from monoseme.activations.source import CapturingModel
from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor
from monoseme.text.block import TokenBlock
from monoseme.text.plan import ContextPlan
from monoseme.text.store import TokenStore


class _Place(NamedTuple):
    """Where a block of the store comes from."""

    is_heldout: bool
    number: int
    """Among the blocks of its side."""


class CapturedInput:
    """What `write_store` asks for: blocks of a text, run through a model.

    Held-out blocks come between the others in the ratio of the corpus' `holdout_fraction`, so that a store that ends early has
    both; when one side is at its end, the rest of the other follows. Attention sinks stay in: their thresholds are measured on
    the first training block, as a live source does, and readers leave them out by the stored norms.
    """

    has_text = True

    def __init__(
        self,
        model: CapturingModel,
        text: TokenStore,
        sites: Sequence[Site],
        *,
        contexts_per_block: int,
        contexts_per_forward: int | None = None,
        filter: SinkFilter | None = SinkFilter(),  # noqa: B008 - frozen, so one default serves all
    ) -> None:
        """As `LiveSource`; `filter` None measures no thresholds. Raises what it raises."""
        self._train, self._heldout = text.contexts("train"), text.contexts("heldout")
        self._live = LiveSource(
            model,
            self._train,
            sites,
            contexts_per_block=contexts_per_block,
            contexts_per_forward=contexts_per_forward,
            filter=filter,
        )
        self.sites, self.widths = self._live.sites, self._live.widths
        self.context_len, self.contexts_per_block = text.config.context_len, contexts_per_block
        self._model, self._text = model, text
        self._places: list[_Place] = []
        self._n_of_side = {False: 0, True: 0}

    @property
    def spec(self) -> dict[str, Any]:
        """What decides the vectors besides text, settings and weights."""
        return {
            "kind": "captured",
            "tokenizer": self._text.tokenizer.content_hash(),
            "contexts_per_forward": self._live.contexts_per_forward,
            "device": str(self._model.device).partition(":")[0],
        }

    @property
    def sink_factor(self) -> float | None:
        """The filter's; None without one."""
        return None if self._live.filter is None else self._live.filter.factor

    @property
    def sink_thresholds(self) -> Mapping[str, float | None]:
        """Measured when first asked for. Raises EmptyCorpusError where no document is for training."""
        return self._live.sink_thresholds

    @property
    def n_tokens(self) -> int | None:
        """As many as were asked for; None where the corpus is taken to its end, which is known only there."""
        return self._text.max_tokens

    def has_block(self, i: int) -> bool:
        """Whether the text reaches block i; waits only until that is known."""
        while len(self._places) <= i:
            place = self._next()
            if place is None:
                return False
            self._places.append(place)
            self._n_of_side[place.is_heldout] += 1
        return i >= 0

    def is_heldout(self, i: int) -> bool:
        """Whether block i is of held-out documents. Raises IndexError if there is none."""
        return self._place(i).is_heldout

    def text(self, i: int) -> TokenBlock:
        """The contexts of block i. Raises IndexError if there is none."""
        place = self._place(i)
        return self._plan(heldout=place.is_heldout).block(place.number, self.contexts_per_block)

    def vectors(self, i: int, text: TokenBlock) -> Mapping[Site, Tensor]:
        """The model's activations [n, S, D], on its device. Raises what the model raises."""
        del i
        return self._live.run(text)

    def _place(self, i: int) -> _Place:
        if not self.has_block(i):
            raise IndexError(f"the text has no block {i}")
        return self._places[i]

    def _next(self) -> _Place | None:
        """The place of the next block; None after the last."""
        fraction, n = self._text.config.holdout_fraction, len(self._places)
        # The half puts the first held-out block early: a small store has one too.
        turn = math.floor((n + 1) * fraction + 0.5) > math.floor(n * fraction + 0.5)
        for heldout in (turn, not turn) if fraction > 0 else (False,):
            number = self._n_of_side[heldout]
            if self._plan(heldout=heldout).has(number * self.contexts_per_block):
                return _Place(heldout, number)
        return None

    def _plan(self, *, heldout: bool) -> ContextPlan:
        return self._heldout if heldout else self._train
