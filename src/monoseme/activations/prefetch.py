"""The next block made in a thread while the present one is in use. Order and bits are those of the source itself."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from monoseme.activations.block import Block
from monoseme.activations.source import ActivationSource
from monoseme.activations.wrapped import WrappedSource


class PrefetchSource(WrappedSource):
    """Wraps a source: asking for block i also starts block i + 1.

    Worth it where model and SAE do not share their processors (a GPU, or more than two cores). One block is made at a time,
    so that the source never runs in two threads at once.
    """

    def __init__(self, source: ActivationSource) -> None:
        """Starts nothing before the first block is asked for."""
        super().__init__(source)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._pending: dict[int, Future[Block | None]] = {}

    @property
    def spec(self) -> dict[str, Any]:
        """That of the source: reading ahead changes nothing."""
        return self._executor.submit(lambda: self._source.spec).result()

    def block(self, i: int) -> Block:
        """Block i. Raises what the source raises."""
        ready = self._pending.pop(i, None)
        # Blocks ahead that nobody came for (a seek) are dropped.
        self._pending = {}
        block = ready.result() if ready is not None else None
        found = block if block is not None else self._executor.submit(self._source.block, i).result()
        self._pending = {i + 1: self._executor.submit(self._ahead, i + 1)}
        return found

    def _ahead(self, i: int) -> Block | None:
        return self._source.block(i) if self._source.has_block(i) else None
