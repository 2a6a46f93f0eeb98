"""Streams of batches: one pass of a source feeds any number of views, shuffled, with an exact cursor."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from monoseme.activations.block_order import BlockOrder
from monoseme.activations.cursor import Cursor, LaneCursor, StreamCursor
from monoseme.activations.shuffle import DelayShuffle, Draw, Emission, Stretch, cut
from monoseme.activations.source import ActivationSource
from monoseme.activations.views import Batch, View
from monoseme.core.errors import ConfigError, CorpusError, SiteError
from monoseme.models.site import Site
from monoseme.tensors.processes import ALONE, Group


@dataclass(frozen=True, kw_only=True)
class StreamRequest:
    """The batches that one SAE wants."""

    view: View = field(default_factory=View)
    sites: tuple[Site, ...]
    """One site; for layers, as many as it has."""
    batch_size: int
    """Items of a batch: tokens, pairs or contexts."""


class _Queued(NamedTuple):
    at: Cursor
    emission: Emission


class _Lane:
    """The items of one request that are made and not yet used."""

    def __init__(self, request: StreamRequest, *, seed: int, window: int, part: Group) -> None:
        self.request = request
        self.part = part
        self.shuffle = DelayShuffle(request.view, request.sites, seed, window)
        self.draws: dict[int, Draw] = {}
        self.n_dropped = 0
        self.fed = False
        """Whether the epoch had items for it; taken for granted after a seek into the middle of one."""
        self._queue: deque[_Queued] = deque()
        self._used = 0
        self._skip_to = Cursor()

    def start(self, cursor: LaneCursor) -> None:
        self.draws.clear()
        self._queue.clear()
        self._used, self._skip_to, self.n_dropped = 0, cursor.next, cursor.n_dropped
        self.fed = cursor.next != Cursor()

    def push(self, at: Cursor, emission: Emission | None) -> None:
        """Takes an emission, or what of it lies behind the cursor that the lane was started at."""
        self.fed = self.fed or emission is not None
        if emission is None or at[:2] < self._skip_to[:2]:
            return
        if not self._queue:
            self._used = self._skip_to.row if at[:2] == self._skip_to[:2] else 0
        self._queue.append(_Queued(at, emission))
        self._forget_used()

    @property
    def n_items(self) -> int:
        return sum(queued.emission.n_items for queued in self._queue) - self._used

    def cursor(self, made: Cursor) -> LaneCursor:
        """Where the next item is: in the queue, or else where the next emission will bring it."""
        if self._queue:
            return LaneCursor(self._queue[0].at._replace(row=self._used), self.n_dropped)
        return LaneCursor(max(made, self._skip_to), self.n_dropped)

    def take(self, n_items: int) -> Batch:
        return cut(self._pass(n_items), self.part)

    def _pass(self, n_items: int) -> list[Stretch]:
        """The next items, which count as used from now on."""
        stretches: list[Stretch] = []
        while n_items:
            emission = self._queue[0].emission
            stop = min(self._used + n_items, emission.n_items)
            stretches.append(Stretch(emission, self._used, stop))
            n_items -= stop - self._used
            self._used = stop
            self._forget_used()
        return stretches

    def drop_surplus(self) -> None:
        """Keeps between one and two batches: a view with more items than the slowest one would pile them up."""
        n_surplus = self.n_items // self.request.batch_size - 1
        if n_surplus > 0:
            self._pass(n_surplus * self.request.batch_size)
            self.n_dropped += n_surplus * self.request.batch_size

    def _forget_used(self) -> None:
        while self._queue and self._used >= self._queue[0].emission.n_items:
            self._used -= self._queue.popleft().emission.n_items


class MultiStream:
    """Steps of batches, one batch for each request, from one pass of the source's blocks over and over.

    Blocks are taken from the first to the last, or, where the source's `any_order` says so, in an order drawn for each epoch.
    Memory: the vectors of at most `window` blocks and of those that the next two batches come from.

    The request with the fewest items sets the pace; what others have beyond two batches by then is dropped, oldest first, and
    counted. Equal requests share one batch. Iterating goes on from where the stream stands.
    """

    def __init__(
        self,
        source: ActivationSource,
        requests: Sequence[StreamRequest],
        *,
        seed: int = 0,
        window: int = 4,
        epochs: int | None = None,
        drop_last: bool = True,
        part: Group = ALONE,
    ) -> None:
        """`epochs` None goes on for ever. A batch may span epochs; `drop_last` leaves out an incomplete last step.

        Of every batch, only the items `part.part_of(n_items)` are copied and given out: each rank of a group has its own ones,
        in the order of ranks all of the batch, and the cursor is the same on all and for any number of them.

        Raises ConfigError for sizes below 1 or no requests, SiteError for a site that the source does not hold.
        """
        if not requests:
            raise ConfigError("a stream needs at least one request")
        if window < 1 or (epochs is not None and epochs < 1):
            raise ConfigError(f"window and epochs must be at least 1, not {window} and {epochs}")
        for request in requests:
            _check(request, source)
        self._source, self._window, self._epochs, self._drop_last = source, window, epochs, drop_last
        distinct = list(dict.fromkeys(requests))
        self._lanes = [_Lane(request, seed=seed, window=window, part=part) for request in distinct]
        self._lane_of = [distinct.index(request) for request in requests]
        self._blocks = BlockOrder(source, seed=seed)
        self._made = Cursor()

    @property
    def cursor(self) -> StreamCursor:
        """Where the next step begins."""
        return StreamCursor(tuple(lane.cursor(self._made) for lane in self._lanes))

    @property
    def n_dropped(self) -> tuple[int, ...]:
        """Items dropped so far, for each request."""
        return tuple(self._lanes[i].n_dropped for i in self._lane_of)

    def seek(self, cursor: StreamCursor) -> None:
        """Goes to a cursor of a stream with the same source, requests, seed and window: the same bits follow.

        The next step makes again the blocks that its batches are cut from. Raises ConfigError if the requests are other ones.
        """
        if len(cursor.lanes) != len(self._lanes):
            raise ConfigError(f"the cursor is of {len(cursor.lanes)} views, this stream has {len(self._lanes)}")
        for lane, place in zip(self._lanes, cursor.lanes, strict=True):
            lane.start(place)
        self._made = min(place.next._replace(row=0) for place in cursor.lanes)
        self._blocks.begin(self._made.epoch)

    def __iter__(self) -> Iterator[list[Batch]]:
        """The steps from here on, each a list of batches in the order of the requests."""
        while (step := self.next_step()) is not None:
            yield step

    def next_step(self) -> list[Batch] | None:
        """The next step, or None after the last. Raises CorpusError if a request gets no items in a whole epoch."""
        while any(lane.n_items < lane.request.batch_size for lane in self._lanes):
            for lane in self._lanes:
                lane.drop_surplus()
            if not self._make():
                return self._last_step()
        return self._step([lane.request.batch_size for lane in self._lanes])

    def _step(self, sizes: Sequence[int]) -> list[Batch]:
        batches = [lane.take(size) for lane, size in zip(self._lanes, sizes, strict=True)]
        return [batches[i] for i in self._lane_of]

    def _last_step(self) -> list[Batch] | None:
        sizes = [min(lane.n_items, lane.request.batch_size) for lane in self._lanes]
        return None if self._drop_last or not all(sizes) else self._step(sizes)

    def _make(self) -> bool:
        """Makes the next emission of every lane; False when the epochs are over."""
        if self._epochs is not None and self._made.epoch >= self._epochs:
            return False
        e = self._made.step
        if not self._blocks.has(max(0, e - self._window + 1)):
            self._end_epoch()
            return self._make()
        self._draw(e)
        for lane in self._lanes:
            lane.push(self._made, lane.shuffle.emission(e, self._made.epoch, lane.draws))
        self._made = self._made._replace(step=e + 1)
        return True

    def _end_epoch(self) -> None:
        for lane in self._lanes:
            if not lane.fed:
                raise CorpusError(
                    f"the text has nothing for the view {lane.request.view.name}: its tokens are special, filtered out or too few"
                )
            lane.fed = False
            lane.draws.clear()
        self._made = Cursor(self._made.epoch + 1)
        self._blocks.begin(self._made.epoch)

    def _draw(self, e: int) -> None:
        """Sees to it that every lane has the draws of the blocks of emission e, and none of earlier ones."""
        first = max(0, e - self._window + 1)
        for lane in self._lanes:
            lane.draws = {b: draw for b, draw in lane.draws.items() if b >= first}
        for b in range(first, e + 1):
            if b not in self._lanes[0].draws and self._blocks.has(b):
                block = self._blocks.take(b)
                for lane in self._lanes:
                    lane.draws[b] = lane.shuffle.draw(block, self._made.epoch)


class ViewStream:
    """Batches of one view: a `MultiStream` with a single request, whose cursor is three numbers."""

    def __init__(
        self,
        source: ActivationSource,
        view: View,
        *,
        batch_size: int,
        sites: Sequence[Site] | None = None,
        seed: int = 0,
        window: int = 4,
        epochs: int | None = None,
    ) -> None:
        """`sites` None takes all the source has; views other than layers need exactly one. Never drops an item."""
        request = StreamRequest(view=view, sites=tuple(sites or source.sites), batch_size=batch_size)
        self._stream = MultiStream(source, [request], seed=seed, window=window, epochs=epochs, drop_last=False)

    @property
    def cursor(self) -> Cursor:
        """Where the next batch begins."""
        return self._stream.cursor.lanes[0].next

    def seek(self, cursor: Cursor) -> None:
        """Goes to a cursor of a stream with the same source, view, seed and window: the same bits follow."""
        self._stream.seek(StreamCursor((LaneCursor(cursor),)))

    def __iter__(self) -> Iterator[Batch]:
        """The batches from here on; the last may be smaller."""
        for step in self._stream:
            yield step[0]


def _check(request: StreamRequest, source: ActivationSource) -> None:
    if request.batch_size < 1:
        raise ConfigError(f"batch_size is {request.batch_size}; it must be at least 1")
    held = ", ".join(map(str, source.sites))
    for site in request.sites:
        if site not in source.sites:
            raise SiteError(f"the activations hold no {site}.\n  They hold: {held}")
    if not request.sites or (len(request.sites) > 1 and request.view.name != "layers"):
        raise SiteError(f"the view {request.view.name} takes one site, not {len(request.sites)}.\n  Choose one of: {held}")
    widths = {str(site): source.widths[site] for site in request.sites}
    if len(set(widths.values())) > 1:
        raise SiteError(f"the view layers needs sites of one width, not {widths}")
