"""Blocks and pages before they are asked for: at an address by threads that fetch, on a disk by word to the system."""

import contextvars
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from monoseme.activations.block import Block
from monoseme.core.folder import LocalFolder

_BLOCKS_AHEAD = 8
"""Fetched at once: requests wait more than they move."""
_CACHE_BYTES = 1 << 28
"""Of vectors fetched and kept, those read ahead included; what a stream still holds is not in memory twice."""
_PAGES_AHEAD = 8
"""Blocks whose pages the system is asked for before they are needed."""


class BlockCache:
    """Blocks that cost a fetch: those that come next are made in threads, the last ones are kept as far as a bound goes."""

    def __init__(self, make: Callable[[int], Block]) -> None:
        """Fetches nothing. `make` is called from several threads."""
        self._make = make
        self._held: OrderedDict[int, Future[Block]] = OrderedDict()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_BLOCKS_AHEAD, thread_name_prefix="fetch")

    def will_need(self, blocks: Sequence[int]) -> None:
        """Starts fetching the first of these."""
        with self._lock:
            for i in blocks[:_BLOCKS_AHEAD]:
                self._started(i)

    def block(self, i: int) -> Block:
        """Block i. Raises what making it raises; asked for again, it is then made again."""
        with self._lock:
            future = self._started(i)
        try:
            block = future.result()
        except BaseException:
            with self._lock:
                self._held.pop(i, None)
            raise
        with self._lock:
            self._forget()
        return block

    def _started(self, i: int) -> "Future[Block]":
        if i not in self._held:
            self._held[i] = self._threads.submit(contextvars.copy_context().run, self._make, i)
        self._held.move_to_end(i)
        return self._held[i]

    def _forget(self) -> None:
        """The blocks asked for longest ago, beyond the bound."""
        sizes = {i: _bytes(made.result()) for i, made in self._held.items() if made.done() and made.exception() is None}
        spare = sum(sizes.values()) - _CACHE_BYTES
        for i, n_bytes in sizes.items():
            if spare <= 0:
                return
            del self._held[i]
            spare -= n_bytes


class PageAdvice:
    """Asks the system to read parts of files into its page cache, in a thread; where it cannot be asked, nothing is done."""

    def __init__(self, folder: LocalFolder, spans: Callable[[int], list[tuple[str, int, int]]]) -> None:
        """`spans` tells a block's vectors: file, first and last byte."""
        self._folder, self._spans = folder, spans
        self._told: OrderedDict[int, None] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read ahead")

    def will_need(self, blocks: Sequence[int]) -> None:
        """Asks for the first of these that were not asked for lately."""
        new = [i for i in blocks[:_PAGES_AHEAD] if i not in self._told]
        if not new or not hasattr(os, "posix_fadvise"):  # Windows and macOS read ahead by themselves or not at all
            return
        self._told.update(dict.fromkeys(new))
        while len(self._told) > 2 * _PAGES_AHEAD:
            self._told.popitem(last=False)
        self._thread.submit(self._ask, new)

    def _ask(self, blocks: Sequence[int]) -> None:
        for i in blocks:
            for name, start, stop in self._spans(i):
                file = os.open(self._folder.path / name, os.O_RDONLY)
                try:
                    os.posix_fadvise(file, start, stop - start, os.POSIX_FADV_WILLNEED)
                finally:
                    os.close(file)


def _bytes(block: Block) -> int:
    return sum(block.vectors(site).rows.nbytes for site in block.activations)
