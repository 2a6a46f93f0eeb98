"""Threads that ask one question at a time each, and end with the process even while they wait for an answer."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class Done(NamedTuple, Generic[Job, Result]):
    """A job with its result, or with what it raised."""

    job: Job
    result: Result | None
    error: BaseException | None


class Workers(Generic[Job, Result]):
    """So many threads doing the same to each job; as daemons: a request that hangs must not hold the end up."""

    def __init__(self, n_threads: int, do: Callable[[Job], Result]) -> None:
        self._do = do
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done[Job, Result]] = queue.SimpleQueue()
        self.n_out = 0
        """Jobs given and not yet taken back (count)."""
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(n_threads)]
        for thread in self._threads:
            thread.start()

    def give(self, job: Job) -> None:
        """Puts a job in the queue."""
        self.n_out += 1
        self._jobs.put(job)

    def take(self, seconds: float) -> Done[Job, Result] | None:
        """A job that is done, waited for so long; None where there is none yet."""
        try:
            done = self._done.get(timeout=seconds)
        except queue.Empty:
            return None
        self.n_out -= 1
        return done

    def end(self) -> None:
        """Lets the threads go when they have done what they are at."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                done = Done(job, self._do(job), None)
            except Exception as error:  # noqa: BLE001 - it is raised again where the job came from
                done = Done(job, None, error)
            self._done.put(done)
