"""Blocks made in a thread before they are asked for. Order and bits are those of the source itself."""

import contextvars
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from monoseme.activations.block import Block
from monoseme.activations.source import ActivationSource, SourceSeconds
from monoseme.activations.wrapped import WrappedSource
from monoseme.core.errors import ConfigError

Made = TypeVar("Made", Block, Block | None)


class PrefetchSource(WrappedSource):
    """Wraps a source: asking for a block also starts the `ahead` blocks that come after it, one at a time, in one thread.

    Which come after it is what `will_need` has said, else i + 1 and so on. At most `ahead` blocks are made and not yet asked for:
    a model that is quicker than the trainer waits. An error in the thread is raised when its block is asked for.
    Worth it where model and SAE do not share their processors (a GPU, or two). On a CPU both already use every core, and two that
    run at once take longer than one after the other.
    """

    def __init__(self, source: ActivationSource, *, ahead: int = 1) -> None:
        """Starts nothing before the first block is asked for. Raises ConfigError for fewer than one block ahead."""
        if ahead < 1:
            raise ConfigError(f"{ahead} blocks ahead; it must be at least 1")
        super().__init__(source)
        self._ahead = ahead
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._pending: dict[int, Future[Block | None]] = {}
        self._foreseen: tuple[int, ...] | None = None
        self._waited = 0.0

    @property
    def spec(self) -> dict[str, Any]:
        """That of the source: reading ahead changes nothing."""
        return self._executor.submit(lambda: self._source.spec).result()

    @property
    def seconds(self) -> SourceSeconds:
        """Those of the source, and how long they were waited for."""
        return self._source.seconds._replace(waiting=self._waited)

    def will_need(self, blocks: Sequence[int]) -> None:
        """Which blocks to make ahead of the next that is asked for."""
        self._foreseen = tuple(blocks[: self._ahead])

    def block(self, i: int) -> Block:
        """Block i. Raises what the source raises."""
        began = time.perf_counter()
        following = range(i + 1, i + 1 + self._ahead) if self._foreseen is None else self._foreseen
        self._foreseen = None
        ready = self._pending.pop(i, None)
        self._drop_all_but(following)
        block = ready.result() if ready is not None else None
        found = block if block is not None else self._submit(self._source.block, i).result()
        for j in following:
            if j not in self._pending:
                self._pending[j] = self._submit(self._if_there, j)
        self._waited += time.perf_counter() - began
        return found

    def _drop_all_but(self, wanted: Sequence[int]) -> None:
        """Blocks ahead that nobody came for (a seek), made or not."""
        for j in set(self._pending).difference(wanted):
            self._pending.pop(j).cancel()

    def _submit(self, make: Callable[[int], Made], i: int) -> "Future[Made]":
        # With the caller's context variables: how float32 is multiplied, and where messages go.
        return self._executor.submit(contextvars.copy_context().run, make, i)

    def _if_there(self, i: int) -> Block | None:
        return self._source.block(i) if self._source.has_block(i) else None
