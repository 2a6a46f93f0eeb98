"""What was worked out last, by what it is about; what was asked for longest ago makes room."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The last few values. To be asked from one thread at a time."""

    def __init__(self, most: int) -> None:
        """`most` is how many are kept (count)."""
        self._most = most
        self._kept: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The kept value, or what `make` gives; what it raises is not kept."""
        return self._asked(key) if key in self._kept else self._keep(key, make())

    async def awaited(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """As `get`, for what is waited for."""
        return self._asked(key) if key in self._kept else self._keep(key, await make())

    def values(self) -> list[V]:
        """All that are kept."""
        return list(self._kept.values())

    def _asked(self, key: K) -> V:
        self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: K, value: V) -> V:
        self._kept[key] = value
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value
