"""Events from the worker's thread to a client: the thread never waits, and what a slow client leaves unread is bounded."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

E = TypeVar("E")
_MOST_UNREAD = 4096
"""Events; a request tells about 2 for each token of each text."""
_BEAT_SECONDS = 10.0
"""Proxies close a connection on which nothing comes for a minute or so, and a client that has gone is noticed at a beat."""


class EventStream(Generic[E]):
    """Events in order, put by any thread and read by one task of the loop in which the stream was made."""

    def __init__(self, *, most_unread: int = _MOST_UNREAD, beat_seconds: float = _BEAT_SECONDS) -> None:
        self._most_unread, self._beat_seconds = most_unread, beat_seconds
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._lock = threading.Lock()
        self._unread: deque[E] = deque()
        self._is_open = True

    def put(self, event: E) -> bool:
        """Adds an event, unless the stream is closed or its reader lags too far behind, which closes it. Whether it did."""
        with self._lock:
            if self._is_open and len(self._unread) >= self._most_unread:
                self._is_open = False
            if not self._is_open:
                return False
            self._unread.append(event)
        return self._tell()

    def close(self, last: E | None = None) -> None:
        """No more events but this one, which comes even where the reader lags."""
        with self._lock:
            self._is_open = False
            if last is not None:
                self._unread.append(last)
        self._tell()

    async def batches(self) -> AsyncIterator[list[E]]:
        """What has come since the last time; an empty list when nothing has come for a while. Ends when the stream is closed."""
        while True:
            try:
                await asyncio.wait_for(self._news.wait(), self._beat_seconds)
            except TimeoutError:
                yield []
                continue
            self._news.clear()
            with self._lock:
                events, is_open = list(self._unread), self._is_open
                self._unread.clear()
            if events:
                yield events
            if not is_open:
                return

    def _tell(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop is closed: the server has ended
            self._is_open = False
        return self._is_open
