"""A queue between two threads that is bounded in bytes, in which an error on the one side is an error on the other at once."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosed(Exception):
    """No more will come; never shown to a user."""


class Channel(Generic[T]):
    """One thread puts, one gets. What was got counts as held until the next is asked for: it is being worked on."""

    def __init__(self, *, most_bytes: int) -> None:
        """`most_bytes` held at a time; a single thing larger than that still passes, alone."""
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[T, int]] = deque()
        self._held = self._in_work = 0
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    @property
    def held_bytes(self) -> int:
        """Of what was put and is not done yet."""
        return self._held

    def put(self, thing: T, n_bytes: int) -> None:
        """Hands a thing over; waits while that would hold too much. Raises what the other side failed with."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or not self._held or self._held + n_bytes <= self._most_bytes)
            self._raise_error()
            self._waiting.append((thing, n_bytes))
            self._held += n_bytes
            self._changed.notify_all()

    def get(self) -> T:
        """The next thing; the one before is done with. Raises ChannelClosed after the last."""
        with self._changed:
            self._held -= self._in_work
            self._in_work = 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                raise ChannelClosed
            thing, self._in_work = self._waiting.popleft()
            return thing

    def close(self, *, drop: bool = False) -> None:
        """Nothing more will be put. `drop` also forgets what waits."""
        with self._changed:
            self._closed = True
            if drop:
                self._waiting.clear()
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Nothing more will be got: `put` raises this error from now on."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def raise_error(self) -> None:
        """Raises what the other side failed with, if it did."""
        with self._changed:
            self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
