"""How fast a stream of activations is by itself: the model's side of a run, without SAEs."""

import time
from typing import NamedTuple

from monoseme.activations.source import ActivationSource
from monoseme.activations.stream import MultiStream, StreamRequest
from monoseme.activations.views import View
from monoseme.core.errors import CorpusError


class StreamTimes(NamedTuple):
    """What a stream gave, and where its time went (seconds). Where another thread makes the blocks, only waiting counts."""

    n_items: int
    """Tokens, pairs or contexts in the batches given out; a model also reads what no SAE sees, such as BOS."""
    total: float
    reading: float
    """Waiting for text: reading, tokenising, packing."""
    model: float
    """In the language model."""
    waiting: float | None
    """Until blocks of another thread were there; None without one."""

    @property
    def shuffling(self) -> float:
        """Mixing, copying into batches, finding attention sinks (seconds): all that is neither text nor model."""
        made = self.reading + self.model if self.waiting is None else self.waiting
        return max(0.0, self.total - made)

    @property
    def items_per_second(self) -> float:
        """Of the whole stream."""
        return self.n_items / max(self.total, 1e-9)

    @property
    def model_items_per_second(self) -> float:
        """If the model were all there is."""
        return self.n_items / max(self.model, 1e-9)


def measure_stream(
    source: ActivationSource,
    *,
    n_items: int,
    batch_size: int = 2048,
    view: View = View(),  # noqa: B008 - frozen, so one default serves all
    window: int = 4,
    seed: int = 0,
) -> StreamTimes:
    """Runs the source's shuffled stream for at least `n_items` items, whole batches, and throws them away.

    The first `window` batches are not counted: until then the stream fills. Past the end the source begins anew.
    Raises CorpusError when the source holds nothing for the view, SiteError when the view takes one site and it has several.
    """
    request = StreamRequest(view=view, sites=source.sites, batch_size=batch_size)
    stream = MultiStream(source, [request], seed=seed, window=window)
    for _ in range(window):
        _advance(stream)
    before, began, done = source.seconds, time.perf_counter(), 0
    while done < n_items:
        done += _advance(stream)
    total, after = time.perf_counter() - began, source.seconds
    waiting = None if after.waiting is None else after.waiting - (before.waiting or 0.0)
    return StreamTimes(done, total, after.reading - before.reading, after.model - before.model, waiting)


def _advance(stream: MultiStream) -> int:
    """Items of the next batch."""
    batches = stream.next_step()
    if batches is None:
        raise CorpusError("the source holds nothing that this view could give out")
    return batches[0].n_items
