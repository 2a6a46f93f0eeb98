"""What was worked out last, so that a slider or a step from token to token does not run the model again."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The last few results by their questions. To be asked from one event loop."""

    def __init__(self, size: int) -> None:
        """`size` is how many are kept (count)."""
        self._size = size
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    async def get(self, question: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The kept result, or what `work` gives; what it raises is not kept."""
        if question not in self._kept:
            self._kept[question] = await work()
        self._kept.move_to_end(question)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return self._kept[question]
