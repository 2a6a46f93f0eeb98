"""Compiled loops share the processor with torch: as many threads, no two launches where the pool bears only one, no fork.

Every call of a parallel loop goes through `launch`. Only modules that need Numba anyway import this one.

Numba runs parallel loops on one of three pools. `omp` and `tbb` bear launches from several Python threads at once; `workqueue`
aborts the process, so there a lock lets one launch in at a time. Each is a pool beside torch's own, whose waiting threads spin
for some milliseconds (OpenMP's rule, read from OMP_WAIT_POLICY before torch is loaded, so that a library cannot set it).
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numba
import torch

from monoseme.core.errors import MonosemeError

_numba: Any = numba  # its types leave out what it documents

_ORDER = ["omp", "tbb", "workqueue"]
"""OpenMP first: torch's own pool is one, so that OMP_WAIT_POLICY and OMP_NUM_THREADS rule both."""


class _Pool:
    """What this process knows of its pool."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.layer: str | None = None
        """The pool in use; None before the first launch."""
        self.lost = False
        """In a forked child, whose parent's threads were not copied with it."""


_pool = _Pool()


@contextlib.contextmanager
def launch() -> Iterator[None]:
    """Surrounds calls of compiled parallel loops: they use as many threads as torch does.

    Raises MonosemeError in a process forked from one that has run such loops.
    """
    layer = _pool.layer or _opened()
    if _pool.lost:
        raise MonosemeError(
            "the kernels' threads did not survive a fork of this process.\n"
            '  Start processes with multiprocessing.get_context("spawn"), or "forkserver".'
        )
    with _pool.lock if layer == "workqueue" else contextlib.nullcontext():
        wanted = n_threads()
        if numba.get_num_threads() != wanted:  # each Python thread has a number of its own, which stays
            numba.set_num_threads(wanted)
        yield


def n_threads() -> int:
    """Threads that a launch from here uses: torch's number, as far as Numba's pool goes (NUMBA_NUM_THREADS)."""
    return max(1, min(torch.get_num_threads(), _numba.config.NUMBA_NUM_THREADS))


def layer() -> str:
    """The pool in use: omp, tbb or workqueue. Opens it if it is not open yet."""
    return _pool.layer or _opened()


def _opened() -> str:
    """Opens the pool, in our order of preference unless the user named one (NUMBA_THREADING_LAYER)."""
    with _pool.lock:
        if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
            _numba.config.THREADING_LAYER_PRIORITY = _ORDER
        torchs = torch.get_num_threads()
        numba.set_num_threads(numba.get_num_threads())  # the first call of either opens the pool
        # Where both have loaded one and the same OpenMP, opening sets its number of threads for torch as well.
        torch.set_num_threads(torchs)
        opened = _numba.threading_layer()
        if sys.platform != "win32" and _pool.layer is None:
            os.register_at_fork(after_in_child=_after_fork)
        _pool.layer = opened
        return opened


def _after_fork() -> None:
    """A lock held by another thread at the fork would never be released in the child."""
    _pool.lock = threading.RLock()
    _pool.lost = _pool.layer is not None
