"""A queue that is fair between clients: they take turns, and what one client asks for comes in its own order."""

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_NOTHING: Any = object()


class FairQueue(Generic[T]):
    """Things that wait, each for a client. Not safe by itself between threads."""

    def __init__(self) -> None:
        self._of_client: OrderedDict[str, deque[T]] = OrderedDict()
        """The client whose turn is next comes first."""

    def __len__(self) -> int:
        return sum(map(len, self._of_client.values()))

    def put(self, client: str, item: T) -> None:
        """Puts it behind what its client waits for already."""
        self._of_client.setdefault(client, deque()).append(item)

    def take(self, allowed: Callable[[T], bool] = lambda _: True) -> T | None:
        """The first item of the client whose turn it is; clients whose first item is not `allowed` now keep their turn.

        None where nothing can be taken.
        """
        for client, waiting in self._of_client.items():
            if allowed(waiting[0]):
                item = waiting.popleft()
                del self._of_client[client]
                if waiting:
                    self._of_client[client] = waiting
                return item
        return None

    def remove(self, item: T) -> bool:
        """Takes an item out, wherever it stands; whether it was there."""
        for client, waiting in self._of_client.items():
            if item in waiting:
                waiting.remove(item)
                if not waiting:
                    del self._of_client[client]
                return True
        return False

    def in_order(self) -> list[T]:
        """All items in the order in which they come, if no more are put in."""
        rounds = itertools.zip_longest(*self._of_client.values(), fillvalue=_NOTHING)
        return [item for turn in rounds for item in turn if item is not _NOTHING]
