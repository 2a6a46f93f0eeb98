"""Where a stream stands: a few numbers, from which it goes on with the same bits."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast


class Cursor(NamedTuple):
    """The next item of a stream is item `row` of emission `step` of epoch `epoch`. `step` counts within the epoch."""

    epoch: int = 0
    step: int = 0
    row: int = 0


class LaneCursor(NamedTuple):
    """Where one view of a stream stands, and how many items it has dropped so far."""

    next: Cursor = Cursor()
    n_dropped: int = 0


class StreamCursor(NamedTuple):
    """Where a stream of several views stands: each as far as its items were used.

    Nothing else needs keeping. An emission is made only when a view lacks items, and all others have less than two batches
    then; so making the emissions again from the earliest cursor on leads to the same items in hand.
    """

    lanes: tuple[LaneCursor, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, for a checkpoint."""
        return {"lanes": [{"next": list(lane.next), "n_dropped": lane.n_dropped} for lane in self.lanes]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StreamCursor":
        """The inverse of `to_json`."""
        lanes = cast(Sequence[Mapping[str, Any]], data["lanes"])
        return cls(tuple(LaneCursor(Cursor(*lane["next"]), int(lane["n_dropped"])) for lane in lanes))
