"""How much may be asked for at once: by one client, and by all of them."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from monoseme.core.errors import MonosemeError


class TooBusyError(MonosemeError):
    """More is asked for than can wait; the API answers 429 and says when to ask again."""


@dataclass(frozen=True, kw_only=True)
class WorkerLimits:
    """What bounds the memory and the patience that the model's work takes."""

    most_requests: int = 256
    """Waiting, running, or still being read by their clients."""
    most_of_client: int = 12
    """The same, of one client."""
    most_rows: int = 32
    """Texts that are written at the same time."""
    most_positions: int = 16_384
    """Tokens for which keys and values are kept at the same time; a single request may need more."""
    most_models: int = 2
    """Kept in memory."""
    most_made: int = 16
    """SAEs and the like that are kept for each model."""


class Slots:
    """Counts requests from when they come until they are answered."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, client: str) -> Iterator[None]:
        """While a request of this client is served. Raises TooBusyError."""
        self.take(client)
        try:
            yield
        finally:
            self.free(client)

    def take(self, client: str) -> None:
        """One more request. Raises TooBusyError."""
        limits = self._limits
        with self._lock:
            if self._taken.total() >= limits.most_requests:
                raise TooBusyError(
                    f"the server has {limits.most_requests:,} requests to its model already\n  Try again in a moment."
                )
            if self._taken[client] >= limits.most_of_client:
                raise TooBusyError(
                    f"this page has {limits.most_of_client} requests to the model already\n"
                    "  Wait for one of them to end, or stop one."
                )
            self._taken[client] += 1

    def free(self, client: str) -> None:
        """One less."""
        with self._lock:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]
