"""A stream as the training loop takes it: only the vectors, and a cursor of plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.activations.cursor import StreamCursor
from monoseme.activations.source import ActivationSource
from monoseme.activations.stream import MultiStream, StreamRequest
from monoseme.core.errors import CorpusError
from monoseme.tensors.shapes import Tensor


class StreamFeed:
    """Endless batches for the jobs of a training run, one request each; equal requests share one tensor."""

    def __init__(self, source: ActivationSource, requests: Sequence[StreamRequest], *, seed: int = 0, window: int = 4) -> None:
        """Raises what `MultiStream` raises."""
        self._source = source
        self._stream = MultiStream(source, requests, seed=seed, window=window)

    @property
    def n_dropped(self) -> tuple[int, ...]:
        """Items dropped so far for each request, since another had fewer."""
        return self._stream.n_dropped

    def advance(self) -> list[Tensor]:
        """The next step's batches: `x` of each request's view. Raises CorpusError if the text has none."""
        step = self._stream.next_step()
        if step is None:
            raise CorpusError("the stream has ended")
        return [batch.x for batch in step]

    def cursor(self) -> dict[str, Any]:
        """Where the next step begins, as JSON-able values."""
        return self._stream.cursor.to_json()

    def seek(self, cursor: Mapping[str, Any]) -> None:
        """Goes to a cursor: the batches that follow are those that followed there, to the bit."""
        self._stream.seek(StreamCursor.from_json(cursor))

    def seconds_model(self) -> float:
        """Time spent so far in the language model (seconds)."""
        return self._source.seconds_model
