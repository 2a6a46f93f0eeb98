"""Work that takes longer than a page may wait: begun once, told how far it is, kept when it is done.

One piece of a kind runs at a time, in a thread of its own; the model's worker is not asked, so that prompts are read meanwhile.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from monoseme.core.errors import MonosemeError
from monoseme.web.overview.compare_answers import WorkProgress
from monoseme.web.worker import TooBusyError

T = TypeVar("T")
Tell = Callable[[str, float | None], None]
"""Takes what is being done, and the share of it that is done in [0, 1], None where that cannot be told.

To be called at least every second or so: it does not return when the server ends.
"""

_MOST_KEPT, _MOST_WAITING = 12, 16


class Asked(NamedTuple, Generic[T]):
    """What is answered to who asks for a piece of work."""

    progress: WorkProgress
    result: T | None
    """None until it is done."""


class _ServerEndsError(Exception):
    """Ends a piece of work whose server ends."""


class _Job(Generic[T]):
    def __init__(self, work: Callable[[Tell], T]) -> None:
        self.work = work
        self.progress = WorkProgress(state="waiting", stage="waiting for other work")
        self.result: T | None = None


class Jobs(Generic[T]):
    """Pieces of work by what they are about. Safe to ask from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[Hashable, _Job[T]] = OrderedDict()
        self._turn = threading.Lock()

    def ask(self, key: Hashable, work: Callable[[Tell], T]) -> Asked[T]:
        """How far the work of this key is, and its result once it is done; begins it at the first call.

        What failed is told as failed, and begun anew at the call after that. Raises TooBusyError where too much waits.
        """
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                job = self._begin(key, work)
            progress = job.progress
            if progress.state == "failed":
                del self._jobs[key]
            return Asked(progress, job.result)

    def _begin(self, key: Hashable, work: Callable[[Tell], T]) -> _Job[T]:
        if sum(job.progress.state in ("waiting", "running") for job in self._jobs.values()) >= _MOST_WAITING:
            raise TooBusyError("the server is working on many such questions\n  Ask again in a minute.")
        job = self._jobs[key] = _Job(work)
        done = [key for key, each in self._jobs.items() if each.progress.state == "done"]
        for old in done[: max(0, len(self._jobs) - _MOST_KEPT)]:
            del self._jobs[old]
        # Not a daemon: torch aborts the process when its thread is cut off. `tell` ends it instead.
        threading.Thread(target=self._run, args=(job,)).start()
        return job

    def _run(self, job: _Job[T]) -> None:
        def tell(stage: str, share: float | None) -> None:
            if not threading.main_thread().is_alive():
                raise _ServerEndsError
            job.progress = WorkProgress(state="running", stage=stage, share=share)

        with self._turn:
            try:
                tell("beginning", None)
                job.result = job.work(tell)
                job.progress = WorkProgress(state="done")
            except _ServerEndsError:
                return
            except MonosemeError as error:
                job.progress = WorkProgress(state="failed", why=str(error))
            except Exception as error:
                job.progress = WorkProgress(state="failed", why=f"{type(error).__name__}: {error}")
                raise  # so that the server's own log has it
