"""Processes that are threads of one: what shares a run, tested without starting anything.

A group of threads does what `monoseme.tensors.processes.Group` does, by a table all can see; sums are in the order of ranks, so
they are the same everywhere. One that fails, or that waits for what the others never ask, ends them all with an error.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from monoseme.tensors.processes import Group, Mesh
from monoseme.tensors.shapes import Tensor

_WAIT_SECONDS = 20.0
_Result = TypeVar("_Result")


class _Table:
    """Where the threads of one group lay down what they have."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=_WAIT_SECONDS)
        self.given: list[Tensor | None] = [None] * size


@dataclass(frozen=True)
class ThreadGroup(Group):
    """A group of threads; `handle` is their table."""

    handle: Any = field(default=None, repr=False)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensor of every thread. Raises ValueError where their shapes or types differ, as a real group would hang."""
        if self.size == 1:
            return [tensor]
        self.handle.given[self.rank] = tensor.detach().clone()
        self.handle.barrier.wait()
        found = list(self.handle.given)
        self.handle.barrier.wait()
        if len({(t.shape, t.dtype) for t in found}) != 1:
            raise ValueError(f"threads gather unlike tensors: {[(tuple(t.shape), t.dtype) for t in found]}")
        return [t.clone() for t in found]

    def share(self, tensor: Tensor, *, source: int = 0) -> Tensor:
        """As of processes."""
        return tensor.copy_(self.gather(tensor)[source])

    def wait(self) -> None:
        """As of processes."""
        if self.size > 1:
            self.handle.barrier.wait()

    def _reduced(self, tensor: Tensor, how: str) -> Tensor:
        if self.size == 1:
            return tensor
        every = torch.stack(self.gather(tensor))
        return every.sum(0, dtype=tensor.dtype) if how == "SUM" else every.amax(0)


def in_threads(run: Callable[[Mesh], _Result], *, rows: int = 1, latents: int = 1) -> list[_Result]:
    """What `run` gives on each of rows x latents threads, those with the same rows next to each other.

    Raises the first error of a thread; the others are not waited for in vain.
    """
    of_rows, of_latents = [_Table(rows) for _ in range(latents)], [_Table(latents) for _ in range(rows)]

    def one(place: int) -> _Result:
        row, latent = divmod(place, latents)
        mesh = Mesh(ThreadGroup(row, rows, of_rows[latent]), ThreadGroup(latent, latents, of_latents[row]))
        try:
            return run(mesh)
        except BaseException:
            for table in (*of_rows, *of_latents):
                table.barrier.abort()
            raise

    with ThreadPoolExecutor(rows * latents) as pool:
        futures = [pool.submit(one, place) for place in range(rows * latents)]
        errors = [error for future in futures if (error := future.exception()) is not None]
    told = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
    if errors:
        raise (told or errors)[0]
    return [future.result() for future in futures]
