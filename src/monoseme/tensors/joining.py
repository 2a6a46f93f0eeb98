"""How processes that were started together join, end together, and how one that fails ends the others.

`torch.distributed` moves the tensors: gloo those of the CPU, NCCL those of GPUs (gloo too where processes share a GPU, which NCCL
does not bear). A store of keys beside it says who failed: a rank that waits for one that has failed would wait for long.
"""

import contextlib
import datetime
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch

from monoseme.core.errors import ConfigError
from monoseme.core.launch import Launch
from monoseme.tensors.processes import Group, everyone

_distributed: Any = torch.distributed  # its types leave out what it documents

_TIMEOUT = datetime.timedelta(minutes=30)
"""That a rank is waited for: the first one may validate, or write a checkpoint, for minutes."""
_LOOK_SECONDS = 0.3
"""Between two looks for a failure."""
_GRACE_SECONDS = 3.0
"""In which a process may end by itself after another one failed."""


@runtime_checkable
class Store(Protocol):
    """The part of torch's key-value stores that is used."""

    def add(self, key: str, amount: int, /) -> int:
        """Adds to a counter; its new value."""
        ...

    def check(self, keys: list[str], /) -> bool:
        """Whether the keys are there."""
        ...


class Company:
    """The processes of a command, from their meeting to their end."""

    def __init__(self, processes: Group, store: Store | None) -> None:
        """`store` None: nobody else is there."""
        self.processes = processes
        self.failed = False
        """Whether this process noted that it failed."""
        self._store = store
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, name="failures", daemon=True)
        if store is not None:
            self._watch.start()

    def first_to_fail(self, code: int) -> bool:
        """Notes that this process ends with an exit code other than 0; True if no other one did before, so that it may speak."""
        store, again = self._store, self.failed
        self.failed = True
        if store is None or again:
            return not again
        self._over.set()
        try:
            first = store.add("failures", 1) == 1
            if first:
                store.add("code", code)
        except RuntimeError:  # the store went with the process that failed
            return False
        return first

    def code(self, default: int) -> int:
        """The exit code of the process that failed first, or `default` where it left none."""
        try:
            found = self._store.add("code", 0) if self._store is not None else 0
        except RuntimeError:
            return default
        return found or default

    def leave(self) -> None:
        """Ends the watch. The first process stays until all have left, since the others may ask it; after a failure so do all,
        for a moment, so that each can end with its own exit code before the launcher ends it.
        """
        self._over.set()
        if self._store is None:
            return
        self._watch.join()  # a thread in a call of the store when Python ends would abort the process
        until = time.monotonic() + (2 * _GRACE_SECONDS if self.failed else _TIMEOUT.total_seconds())
        with contextlib.suppress(RuntimeError):
            self._store.add("left", 1)
            if self.failed or self.processes.rank == 0:
                while self._store.add("left", 0) < self.processes.size and time.monotonic() < until:
                    time.sleep(_LOOK_SECONDS / 3)

    def _look(self) -> None:
        """Ends this process when another one failed: the main thread may be waiting for it in a call that nothing interrupts."""
        assert self._store is not None
        try:
            while not self._over.wait(_LOOK_SECONDS):
                if self._store.check(["code"]):
                    break
        except RuntimeError:  # whoever held the store is gone
            pass
        if self._over.wait(_GRACE_SECONDS):
            return
        code = self.code(default=1)
        with contextlib.suppress(RuntimeError):
            self._store.add("left", 1)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@contextlib.contextmanager
def joined(launch: Launch | None, *, store: Any = None) -> Iterator[Company]:
    """Meets the other processes for the body, and parts from them after it.

    `store` is a store of torch.distributed to meet in (None: the launcher's address). Where the caller has joined already
    through torch.distributed, or is alone, nothing is begun and nothing ended.
    """
    if launch is None or everyone().size > 1:
        yield Company(everyone(), None)
        return
    if not torch.distributed.is_available():
        raise ConfigError(f"{launch.size} processes were started, but this build of torch has no torch.distributed")
    store = _meeting_place(launch) if store is None else store
    prefixed = _distributed.PrefixStore
    torch.distributed.init_process_group(
        _backend(launch), store=prefixed("groups", store), rank=launch.rank, world_size=launch.size, timeout=_TIMEOUT
    )
    company = Company(everyone(), prefixed("failures", store))
    try:
        yield company
    except BaseException:
        company.first_to_fail(1)
        company.leave()
        raise
    company.leave()
    if not company.failed:  # connections to a process that is gone cannot be ended in order
        torch.distributed.destroy_process_group()


def _meeting_place(launch: Launch) -> Any:
    """The launcher's store where it keeps one (torchrun does), else one kept by the first process."""
    keeps = launch.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    return _distributed.TCPStore(
        launch.host, launch.port, world_size=launch.size, is_master=keeps, timeout=_TIMEOUT, wait_for_workers=False
    )


def _backend(launch: Launch) -> str:
    """By device; a process takes the GPU of its number on this machine."""
    if not torch.cuda.is_available():
        return "gloo"
    n_gpus = torch.cuda.device_count()
    torch.cuda.set_device(launch.local_rank % n_gpus)
    shared = launch.local_size > n_gpus or not torch.distributed.is_nccl_available()
    return f"cpu:gloo,cuda:{'gloo' if shared else 'nccl'}"


def is_loss_of_company(error: BaseException) -> bool:
    """Whether an error says that another process went away."""
    return isinstance(error, _distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
