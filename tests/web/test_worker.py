"""The thread that runs models: clients take turns, texts are written together, who leaves is forgotten."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
import torch

from monoseme.core.errors import ConfigError, ModelNotFoundError
from monoseme.models import FunctionEdit, GenerationRequest, LanguageModel, ModelConfig, Ongoing, Sampling, Site
from monoseme.testing.models import tiny_model
from monoseme.web.run_files import UnavailableError
from monoseme.web.worker import EventStream, ModelWorker, TooBusyError, WorkerLimits
from monoseme.web.worker._clients import _client
from monoseme.web.worker._queue import FairQueue
from monoseme.web.worker._slots import Slots

CONFIG = ModelConfig(model="tiny")
WAIT = 20.0
"""Seconds until a test gives up; nothing here takes one."""


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama")


@pytest.fixture
def worker(model: LanguageModel) -> ModelWorker:
    return ModelWorker(lambda _: model)


class Noted:
    """A writing that notes what it is told."""

    def __init__(self, *requests: GenerationRequest, raises: Exception | None = None) -> None:
        self.is_cancelled = False
        self.places: list[int] = []
        self.error: Exception | None = None
        self.texts: list[list[int]] = []
        self.n_steps = 0
        self.has_started, self.is_over = threading.Event(), threading.Event()
        self._requests, self._raises = requests, raises

    def waits(self, n_ahead: int) -> None:
        self.places.append(n_ahead)

    def begin(self, model: LanguageModel) -> Sequence[GenerationRequest]:
        if self._raises is not None:
            raise self._raises
        return self._requests

    def started(self) -> None:
        self.has_started.set()

    def stepped(self, ongoing: Sequence[Ongoing]) -> None:
        self.n_steps += 1
        if all(each.is_over for each in ongoing):
            self.texts = [row.token_ids for each in ongoing for row in each.results()]
            self.is_over.set()

    def failed(self, error: Exception) -> None:
        self.error = error
        self.is_over.set()


@pytest.fixture
def as_client() -> Iterator[object]:
    token = _client.set("")
    yield _client.set
    _client.reset(token)


def _request(n_new: int, *, first: int = 5, n_rows: int = 1, edits: tuple[FunctionEdit, ...] = ()) -> GenerationRequest:
    return GenerationRequest([[1, first + row, 77] for row in range(n_rows)], Sampling(max_new_tokens=n_new), edits)


def _alone(model: LanguageModel, request: GenerationRequest) -> list[list[int]]:
    return [g.token_ids for g in model.generate_steered(request.prompts, sampling=request.sampling, edits=request.edits)]


def _gate() -> tuple[FunctionEdit, threading.Event]:
    """An edit that holds the worker until the event is set."""
    opened = threading.Event()

    def hold(x: torch.Tensor, _: object) -> torch.Tensor:
        assert opened.wait(WAIT)
        return x

    return FunctionEdit(Site("resid_pre", 0), hold), opened


def test_clients_take_turns_and_each_ones_items_keep_their_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put(item[0], item)
    foretold = queue.in_order()
    assert foretold == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert queue.take(lambda item: item[0] != "a") == "b1"  # who cannot go on now does not lose the turn
    assert queue.remove("c1")
    assert not queue.remove("c1")
    assert [queue.take() for _ in range(len(queue))] == ["a1", "c2", "a2", "a3"]
    assert queue.take() is None


def test_what_is_asked_for_at_once_is_bounded_for_each_client_and_for_all() -> None:
    slots = Slots(WorkerLimits(most_requests=3, most_of_client=2))
    slots.take("a")
    with slots.taken("a"), pytest.raises(TooBusyError, match="this page has 2 requests"):
        slots.take("a")
    slots.take("a")
    slots.take("b")
    with pytest.raises(TooBusyError, match="3 requests to its model"):
        slots.take("c")


def test_a_call_gives_what_the_work_gives_and_raises_what_it_raises(worker: ModelWorker, model: LanguageModel) -> None:
    def fails(_: LanguageModel) -> None:
        raise ConfigError("wrong")

    assert asyncio.run(worker.call(CONFIG, lambda got: got is model))
    with pytest.raises(ConfigError, match="wrong"):
        asyncio.run(worker.call(CONFIG, fails))


def test_a_call_that_is_cancelled_while_it_waits_is_never_done(worker: ModelWorker) -> None:
    begun, opened, done = threading.Event(), threading.Event(), []

    async def ask() -> None:
        def hold(_: LanguageModel) -> None:
            begun.set()
            assert opened.wait(WAIT)

        first = asyncio.create_task(worker.call(CONFIG, hold))
        await asyncio.to_thread(begun.wait, WAIT)
        second = asyncio.create_task(worker.call(CONFIG, lambda _: done.append("second")))
        third = asyncio.create_task(worker.call(CONFIG, lambda _: done.append("third")))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second  # before the worker is let go on: a call that has begun is not taken back
        opened.set()
        await first
        await third

    asyncio.run(ask())
    assert done == ["third"]


class Text(NamedTuple):
    """A text that is to be read."""

    ids: list[int]
    sites: tuple[Site, ...]


def test_texts_that_wait_are_read_in_one_forward_each_as_it_would_be_alone(worker: ModelWorker, model: LanguageModel) -> None:
    first, second = Site("resid_post", 0), Site("mlp_out", 1)
    texts = [Text([1, 5, 9], (first,)), Text([1, 33, 8, 101, 7], (second, first)), Text([1], (second,))]
    alone = [model.capture(torch.tensor([text.ids]), text.sites) for text in texts]

    async def ask() -> tuple[list[dict[Site, torch.Tensor]], list[BaseException]]:
        opened, begun = threading.Event(), threading.Event()
        holding = asyncio.create_task(worker.call(CONFIG, lambda _: begun.set() or opened.wait(WAIT)))
        await asyncio.to_thread(begun.wait, WAIT)
        asked = [worker.read(CONFIG, lambda _, text=text: text, lambda _, activations: activations) for text in texts]
        wrong = [
            worker.read(CONFIG, lambda _: Text([1], (Site("resid_post", 99),)), lambda _, x: x),
            worker.read(ModelConfig(model="another"), lambda _: _fail("asking"), lambda _, x: x),
        ]
        reading = [asyncio.create_task(each) for each in (*asked, wrong[1])]
        await asyncio.sleep(0)
        opened.set()
        await holding
        *read, failed = await asyncio.gather(*reading, return_exceptions=True)
        return read, [failed, *await asyncio.gather(wrong[0], return_exceptions=True)]

    calls: list[tuple[int, ...]] = []
    count = model._forward._model.register_forward_pre_hook(  # pyright: ignore[reportPrivateUsage]
        lambda _m, _a, kwargs: calls.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        read, failed = asyncio.run(ask())
    finally:
        count.remove()
    assert calls[0] == (3, 5)
    for got, expected in zip(read, alone, strict=True):
        assert set(got) == set(expected)
        for site, x in expected.items():
            torch.testing.assert_close(got[site], x, rtol=0, atol=1e-5)  # float32: sums in another order
    assert [type(error).__name__ for error in failed] == ["ConfigError", "SiteError"]


def _fail(words: str) -> Text:
    raise ConfigError(words)


def test_the_models_that_were_used_longest_ago_are_forgotten_with_what_was_made_for_them(model: LanguageModel) -> None:
    loaded: list[str] = []

    def load(config: ModelConfig) -> LanguageModel:
        loaded.append(config.model)
        if config.model == "gone":
            raise ModelNotFoundError("no such model\n  Give another.")
        return tiny_model("llama")

    worker, made = ModelWorker(load, limits=WorkerLimits(most_models=2)), []

    def use(name: str) -> None:
        asyncio.run(worker.call(ModelConfig(model=name), lambda got: worker.kept(got, "key", lambda: made.append(name))))

    for name in ("a", "b", "a", "c", "a", "b"):
        use(name)
    assert loaded == made == ["a", "b", "c", "b"]
    with pytest.raises(UnavailableError, match=r"the model gone of this run cannot be loaded: no such model\n  Give another"):
        use("gone")


def test_texts_of_several_clients_are_written_together_as_each_would_be_alone(
    worker: ModelWorker, model: LanguageModel, as_client
) -> None:
    hold, opened = _gate()
    requests = [_request(6, edits=(hold,)), _request(9, first=20, n_rows=2), _request(3, first=40)]
    written = [Noted(request) for request in requests]
    as_client("a")
    with worker.write(CONFIG, written[0]):
        assert written[0].has_started.wait(WAIT)
        as_client("b")
        with worker.write(CONFIG, written[1]):
            as_client("c")
            with worker.write(CONFIG, written[2]):
                opened.set()
                assert all(each.is_over.wait(WAIT) for each in written)
    assert [each.texts for each in written] == [_alone(model, request) for request in requests]
    # Those that came later did not wait for the first to end.
    assert [each.n_steps for each in written] == [6, 9, 3]


def test_a_clients_next_request_waits_for_the_one_before_and_others_pass_it(worker: ModelWorker, as_client) -> None:
    hold, opened = _gate()
    first, second, other = Noted(_request(6, edits=(hold,))), Noted(_request(2)), Noted(_request(2))
    as_client("a")
    with worker.write(CONFIG, first), worker.write(CONFIG, second):
        as_client("b")
        with worker.write(CONFIG, other):
            opened.set()
            assert other.is_over.wait(WAIT)
            assert not second.has_started.is_set() or first.is_over.is_set()
            assert second.is_over.wait(WAIT)
    assert first.is_over.is_set()
    assert second.places[0] in (0, 1)
    assert second.places[-1] == 0


def test_no_more_texts_are_written_at_once_than_there_is_room_for(model: LanguageModel, as_client) -> None:
    worker = ModelWorker(lambda _: model, limits=WorkerLimits(most_rows=3))
    hold, opened = _gate()
    large, small = Noted(_request(3, n_rows=5, edits=(hold,))), Noted(_request(2, n_rows=2))
    as_client("a")
    with worker.write(CONFIG, large):  # more than there is room for: it gets the worker for itself
        as_client("b")
        with worker.write(CONFIG, small):
            opened.set()
            assert small.has_started.wait(WAIT)
            assert large.is_over.is_set()
            assert small.is_over.wait(WAIT)


def test_a_request_that_is_cancelled_ends_at_the_next_step_and_one_that_waits_never_begins(
    worker: ModelWorker, as_client
) -> None:
    hold, opened = _gate()
    first, waiting, other = Noted(_request(40, edits=(hold,))), Noted(_request(2)), Noted(_request(4))
    as_client("a")
    with worker.write(CONFIG, first):
        assert first.has_started.wait(WAIT)
        with worker.write(CONFIG, waiting):
            waiting.is_cancelled = True
        as_client("b")
        first.is_cancelled = True
        with worker.write(CONFIG, other):
            opened.set()
            assert other.is_over.wait(WAIT)
    assert first.n_steps <= 1
    assert not waiting.has_started.is_set()


def test_what_fails_in_one_request_leaves_the_worker_at_work(worker: ModelWorker, model: LanguageModel, as_client) -> None:
    def breaks(x: torch.Tensor, _: object) -> torch.Tensor:
        raise RuntimeError("a shape is wrong")

    broken = Noted(_request(2, edits=(FunctionEdit(Site("resid_post", 1), breaks),)))
    refused, empty = Noted(raises=ConfigError("no such latent")), Noted(GenerationRequest([[]], Sampling()))
    for client, noted in (("a", broken), ("b", refused), ("c", empty)):
        as_client(client)
        with worker.write(CONFIG, noted):
            assert noted.is_over.wait(WAIT)
    assert [type(noted.error).__name__ for noted in (broken, refused, empty)] == ["RuntimeError", "ConfigError", "ModelError"]
    fine = Noted(_request(3))
    with worker.write(CONFIG, fine):
        assert fine.is_over.wait(WAIT)
    assert fine.texts == _alone(model, _request(3))


def test_a_worker_that_is_closed_tells_all_who_wait_and_those_it_writes_for(worker: ModelWorker, as_client) -> None:
    gate, opened = _gate()
    written, waits, late = Noted(_request(40, edits=(gate,))), Noted(_request(2)), Noted(_request(2))

    async def ask() -> None:
        await worker.call(CONFIG, lambda _: None)

    async def ask_while_it_is_closed() -> None:
        asked = asyncio.create_task(ask())
        await asyncio.sleep(0)
        worker.close()
        opened.set()
        with pytest.raises(UnavailableError, match="the server ends"):
            await asked

    with worker.write(CONFIG, written):
        assert written.has_started.wait(WAIT)
        with worker.write(CONFIG, waits):
            asyncio.run(ask_while_it_is_closed())
            worker.join(WAIT)
            with worker.write(CONFIG, late):
                assert all(each.is_over.wait(WAIT) for each in (written, waits, late))
    assert {str(each.error).split("\n")[0] for each in (written, waits, late)} == {"the server ends"}
    assert written.n_steps <= 1


def test_a_stream_gives_everything_in_order_beats_when_nothing_comes_and_ends_with_its_last_event() -> None:
    async def read() -> list[list[int]]:
        stream: EventStream[int] = EventStream(beat_seconds=0.01)
        stream.put(1)
        stream.put(2)
        got: list[list[int]] = []
        async for events in stream.batches():
            got.append(events)
            if len(got) == 2:
                threading.Thread(target=stream.close, args=(3,)).start()
        return got

    got = asyncio.run(read())
    assert [got[0], got[1], got[-1]] == [[1, 2], [], [3]]


def test_a_reader_that_lags_is_left_behind_with_a_last_word() -> None:
    async def read() -> tuple[list[bool], list[list[int]]]:
        stream: EventStream[int] = EventStream(most_unread=3)
        taken = [stream.put(i) for i in range(5)]
        stream.close(99)
        return taken, [events async for events in stream.batches()]

    assert asyncio.run(read()) == ([True, True, True, False, False], [[0, 1, 2, 99]])


def test_a_stream_whose_server_has_ended_takes_nothing_more() -> None:
    async def make() -> EventStream[int]:
        return EventStream()

    assert not asyncio.run(make()).put(1)
