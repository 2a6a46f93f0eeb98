"""The next block made in a thread while the present one is in use. Order and bits are those of the source itself."""

import contextvars
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from monoseme.activations.block import Block
from monoseme.activations.source import ActivationSource, SourceSeconds
from monoseme.activations.wrapped import WrappedSource

Made = TypeVar("Made", Block, Block | None)


class PrefetchSource(WrappedSource):
    """Wraps a source: asking for block i also starts block i + 1; no more than that one is made ahead.

    Worth it where model and SAE do not share their processors (a GPU). On a CPU both already use every core, and two that run
    at once take longer than one after the other. One block is made at a time, so that the source never runs in two threads.
    """

    def __init__(self, source: ActivationSource) -> None:
        """Starts nothing before the first block is asked for."""
        super().__init__(source)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._pending: dict[int, Future[Block | None]] = {}
        self._waited = 0.0

    @property
    def spec(self) -> dict[str, Any]:
        """That of the source: reading ahead changes nothing."""
        return self._executor.submit(lambda: self._source.spec).result()

    @property
    def seconds(self) -> SourceSeconds:
        """Those of the source, and how long they were waited for."""
        return self._source.seconds._replace(waiting=self._waited)

    def block(self, i: int) -> Block:
        """Block i. Raises what the source raises."""
        began = time.perf_counter()
        ready = self._pending.pop(i, None)
        # Blocks ahead that nobody came for (a seek) are dropped.
        self._pending = {}
        block = ready.result() if ready is not None else None
        found = block if block is not None else self._submit(self._source.block, i).result()
        self._pending = {i + 1: self._submit(self._ahead, i + 1)}
        self._waited += time.perf_counter() - began
        return found

    def _submit(self, make: Callable[[int], Made], i: int) -> "Future[Made]":
        # With the caller's context variables: how float32 is multiplied, and where messages go.
        return self._executor.submit(contextvars.copy_context().run, make, i)

    def _ahead(self, i: int) -> Block | None:
        return self._source.block(i) if self._source.has_block(i) else None
