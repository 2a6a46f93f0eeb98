"""One thread runs the models of all runs: short pieces of work and steps of the texts that are being written take turns.

Clients take turns, too (`FairQueue`). The thread begins with the first work and ends when there has been none for a while.
"""

import asyncio
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from monoseme.core.errors import ArtifactMissingError, MonosemeError
from monoseme.web.run_files import UnavailableError
from monoseme.web.worker._calls import Call, Unread, do, take_together
from monoseme.web.worker._clients import current_client
from monoseme.web.worker._kept import KeptModels, ModelLoader
from monoseme.web.worker._queue import FairQueue
from monoseme.web.worker._slots import Slots, WorkerLimits
from monoseme.web.worker._writing import Desk, Job, Writing

if TYPE_CHECKING:
    from monoseme.models import LanguageModel, ModelConfig, Site
    from monoseme.saes import SAE
    from monoseme.tensors.shapes import Tensor

T = TypeVar("T")
R = TypeVar("R", bound=Unread)
_LINGER_SECONDS = 60.0
"""Beginning a thread costs its first forward some ten milliseconds."""


class ModelWorker:
    """Runs models for every run that is served."""

    def __init__(self, loader: ModelLoader | None = None, *, limits: WorkerLimits = WorkerLimits()) -> None:  # noqa: B008 - a value
        """`loader` gives a language model; None is `LanguageModel.load`."""
        self._kept = KeptModels(loader, limits)
        self._desk = Desk(limits)
        self._slots = Slots(limits)
        self._calls: FairQueue[Call] = FairQueue()
        self._writings: FairQueue[Job] = FairQueue()
        self._next: Job | None = None
        """Taken from the queue, and waits for room."""
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def close(self) -> None:
        """Ends all work, the piece at hand excepted: whoever waits is told that the server ends. From any thread."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()

    def join(self, seconds: float) -> None:
        """After `close`, waits for the piece at hand, but no longer."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    async def call(self, config: "ModelConfig", work: "Callable[[LanguageModel], T]") -> T:
        """What `work` makes of the model. Cancelled while it waits, it is never done.

        Raises UnavailableError where the model cannot be loaded, TooBusyError, and what `work` raises.
        """
        return cast(T, await self._answer(Call(config, work, Future())))

    async def read(
        self, config: "ModelConfig", ask: "Callable[[LanguageModel], R]", work: "Callable[[R, Mapping[Site, Tensor]], T]"
    ) -> T:
        """What `work` makes of the activations [1, S, D] of a text at the sites that `ask` names; as `call` otherwise.

        Texts that wait at the same time may be read in one forward.
        """
        return cast(T, await self._answer(Call(config, work, Future(), ask)))

    async def _answer(self, call: Call) -> Any:
        client = current_client()
        with self._slots.taken(client):
            with self._wake:
                self._calls.put(client, call)
                self._waken()
            try:
                return await asyncio.wrap_future(call.answer)
            finally:
                with self._wake:
                    self._calls.remove(call)

    @contextmanager
    def write(self, config: "ModelConfig", writing: Writing) -> Iterator[None]:
        """Has something written for as long as the context is open; who leaves it earlier cancels `writing` first.

        Raises TooBusyError.
        """
        client = current_client()
        job = Job(client, config, writing)
        with self._slots.taken(client):
            with self._wake:
                self._writings.put(client, job)
                self._tell_places()
                self._waken()
            try:
                yield
            finally:
                with self._wake:
                    if self._writings.remove(job):
                        self._tell_places()

    def sae(self, path: Path, model: "LanguageModel") -> "SAE":
        """The SAE at `path`, ready on the model's device; for work that the worker runs. Raises UnavailableError."""
        from monoseme.saes import load_sae

        try:
            return self._kept.made(model, path, lambda: load_sae(path).export().to(model.device).eval())
        except ArtifactMissingError as error:
            raise UnavailableError(str(error)) from error

    def kept(self, model: "LanguageModel", key: Hashable, make: Callable[[], T]) -> T:
        """What `make` makes for a model, kept with it unless too much else is; for work that the worker runs."""
        return self._kept.made(model, key, make)

    def _waken(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="monoseme models", daemon=True)
            self._thread.start()
        self._wake.notify()

    def _tell_places(self) -> None:
        for place, job in enumerate(self._writings.in_order()):
            job.writing.waits(place + (self._next is not None))

    def _run(self) -> None:
        while self._has_work():
            self._begin_writing()
            with self._wake:
                calls = take_together(self._calls)
            do(calls, self._kept)
            self._desk.step()

    def _has_work(self) -> bool:
        """Waits for some; False ends the thread."""

        def is_there() -> bool:
            return self._is_closed or bool(self._calls or self._writings or self._next or len(self._desk))

        with self._wake:
            if self._wake.wait_for(is_there, _LINGER_SECONDS) and not self._is_closed:
                return True
            self._thread = None
            if self._is_closed:
                self._refuse_all()
            return False

    def _refuse_all(self) -> None:
        """Of what waits or is being written."""
        ends = UnavailableError("the server ends\n  Ask again when it is back.")
        while (call := self._calls.take()) is not None:
            if call.answer.set_running_or_notify_cancel():
                call.answer.set_exception(ends)
        waiting = [self._next] if self._next is not None else []
        self._next = None
        while (job := self._writings.take()) is not None:
            waiting.append(job)
        for job in waiting:
            job.writing.failed(ends)
        self._desk.end(ends)

    def _begin_writing(self) -> None:
        """Lets those begin for whom there is room."""
        while (job := self._next or self._prepared()) is not None:
            self._next = None
            if job.writing.is_cancelled:
                continue
            if not self._desk.fits(job):
                self._next = job
                return
            try:
                self._desk.take(job, self._kept.model(job.config))
            except MonosemeError as error:
                job.writing.failed(error)

    def _prepared(self) -> Job | None:
        """The next job, with what it wants to be written. A client's next one waits until the one before is over."""
        with self._wake:
            clients = self._desk.clients
            job = self._writings.take(lambda job: job.client not in clients)
            if job is not None:
                self._tell_places()
        if job is None or job.writing.is_cancelled:
            return job
        try:
            job.requests = job.writing.begin(self._kept.model(job.config))
        except Exception as error:  # noqa: BLE001 - the edge of the thread: whoever asked gets it
            job.writing.failed(error)
            return self._prepared()
        return job
