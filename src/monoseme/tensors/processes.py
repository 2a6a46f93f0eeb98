"""The processes that share a run, and what they do together: `torchrun` starts them, torch.distributed joins them.

A `Group` is one axis of them: the ranks that divide the rows of a batch, or those that divide the latents of an SAE. A group of
one does nothing, so that code is the same with and without company. Reductions are in the dtype of the tensor given; the result
is the same on all ranks, bit for bit. gloo serves the CPU and NCCL GPUs, by the same calls.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.tensors.shapes import Tensor


@dataclass(frozen=True)
class Group:
    """Some of the run's processes."""

    rank: int = 0
    """Which of them this process is."""
    size: int = 1
    """How many there are."""
    handle: Any = None
    """The group of torch.distributed; None for a group of one."""

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the group, as a new tensor (the given one in a group of one). Not differentiable."""
        return self._reduced(tensor, "SUM")

    def max(self, tensor: Tensor) -> Tensor:
        """The largest of each element over the group. Booleans: whether any is true."""
        if tensor.dtype is torch.bool:
            return self._reduced(tensor.to(torch.uint8), "MAX").bool()
        return self._reduced(tensor, "MAX")

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensor of every rank, in the order of ranks; shapes and dtypes must agree."""
        if self.size == 1:
            return [tensor]
        given = tensor.detach().contiguous().flatten().view(torch.uint8)  # bytes: no backend moves every type
        found = [torch.empty_like(given) for _ in range(self.size)]
        torch.distributed.all_gather(found, given, group=self.handle)
        return [raw.view(tensor.dtype).view(tensor.shape) for raw in found]

    def gather_rows(self, tensor: Tensor) -> list[Tensor]:
        """The tensor of every rank, in the order of ranks, where they may differ in their number of rows (axis 0)."""
        if self.size == 1:
            return [tensor]
        n_rows = [int(n) for n in self.gather(torch.tensor([len(tensor)], device=tensor.device))]
        room = tensor.new_zeros(max(n_rows), *tensor.shape[1:])
        room[: len(tensor)] = tensor
        return [rows[:n] for n, rows in zip(n_rows, self.gather(room), strict=True)]

    def share(self, tensor: Tensor, *, source: int = 0) -> Tensor:
        """The tensor of one rank of the group, on all: written into the given one, which is given back."""
        if self.size > 1:
            torch.distributed.broadcast(tensor, group=self.handle, group_src=source)
        return tensor

    def share_value(self, value: Any, *, source: int = 0) -> Any:
        """A JSON-able value of one rank, on all; what the others give is not looked at. Numbers keep every bit."""
        if self.size == 1:
            return value
        text = json.dumps(value).encode() if self.rank == source else b""
        n_bytes = self.share(torch.tensor([len(text)]), source=source)
        room = torch.frombuffer(bytearray(text), dtype=torch.uint8) if text else torch.empty(int(n_bytes), dtype=torch.uint8)
        return json.loads(bytes(self.share(room, source=source).tolist()))

    def sum_in_place(self, tensors: Sequence[Tensor]) -> None:
        """The sum over the group of each of these contiguous tensors, in its place. All ranks give the same shapes in one order.

        Small ones travel together, large ones as they lie, all on their way at once.
        """
        if self.size == 1 or not tensors:
            return
        small = [tensor for tensor in tensors if tensor.numel() < _SMALL]
        large = [tensor for tensor in tensors if tensor.numel() >= _SMALL]
        together = [torch.cat([tensor.flatten() for tensor in small])] if small else []
        works = [torch.distributed.all_reduce(tensor, group=self.handle, async_op=True) for tensor in (*large, *together)]
        for work in works:
            if work is not None:
                work.wait()
        for tensor, summed in zip(small, together[0].split([t.numel() for t in small]) if together else (), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def twin(self) -> "Group":
        """The same ranks with connections of their own, for another thread; every rank must ask for it.

        Calls of two threads on one group would meet in a different order on different ranks.
        """
        if self.size == 1:
            return self
        ranks = torch.distributed.get_process_group_ranks(self.handle)
        return Group(self.rank, self.size, torch.distributed.new_group(ranks, use_local_synchronization=True))

    def wait(self) -> None:
        """Until every rank is here."""
        self.sum(torch.zeros(1))

    def __deepcopy__(self, memo: object) -> "Group":
        """Itself: connections cannot be copied."""
        return self

    def part_of(self, n: int) -> slice:
        """This rank's part of n things in order: contiguous, sizes differing by one at most, the larger ones first."""
        least, more = divmod(n, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def _reduced(self, tensor: Tensor, how: str) -> Tensor:
        if self.size == 1:
            return tensor
        out = tensor.detach().clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(out, op=getattr(torch.distributed.ReduceOp, how), group=self.handle)
        return out


ALONE = Group()
"""A process by itself."""

_SMALL = 1 << 16
"""Elements below which a reduction costs the way there and back, not the elements."""


def everyone() -> Group:
    """All processes that joined (`monoseme.tensors.joining`, or the caller through torch.distributed); ALONE without company."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return ALONE
    return Group(distributed.get_rank(), distributed.get_world_size(), distributed.group.WORLD)


class Mesh(NamedTuple):
    """The two ways in which processes divide the training of an SAE."""

    rows: Group = ALONE
    """Ranks with different rows of each batch and the same latents: data-parallel."""
    latents: Group = ALONE
    """Ranks with the same rows and different latents: latent f is on rank f % size, as its latent f // size."""

    @property
    def alone(self) -> bool:
        """Whether no axis is divided."""
        return self.rows.size == 1 and self.latents.size == 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rows.rank == 0 and self.latents.rank == 0

    def any(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        return bool(self.latents.max(self.rows.max(torch.tensor([wish])))) if not self.alone else wish

    def share_value(self, value: Any) -> Any:
        """A JSON-able value of the first process, on all."""
        return self.latents.share_value(self.rows.share_value(value))

    def wait(self) -> None:
        """Until every process is here."""
        self.any(wish=False)

    def __str__(self) -> str:
        return f"{self.rows.size} x {self.latents.size}"


def mesh_of(processes: Group, *, latents: int = 1) -> Mesh:
    """All processes in two ways: neighbours divide the latents into `latents` parts, the others the rows.

    Every process must ask for it. Raises ConfigError for a number of parts that does not divide the number of processes.
    """
    if processes.size % latents:
        raise ConfigError(
            f"train.latent_shards is {latents}, which does not divide the number of processes, {processes.size}.\n"
            f"  Start with:  torchrun --nproc-per-node {latents} -m monoseme train ...   or a multiple of that"
        )
    if processes.size == 1:
        return Mesh()
    row, column = divmod(processes.rank, latents)
    return Mesh(
        rows=_some(processes, range(column, processes.size, latents)),
        latents=_some(processes, range(row * latents, (row + 1) * latents)),
    )


def _some(processes: Group, ranks: range) -> Group:
    if len(ranks) == 1:
        return ALONE
    world = torch.distributed.get_process_group_ranks(processes.handle)
    handle = torch.distributed.new_group([world[rank] for rank in ranks], use_local_synchronization=True)
    return Group(ranks.index(processes.rank), len(ranks), handle)


class BatchPart(NamedTuple):
    """Which part of the whole batch a training forward has. Losses and their gradients are those of the part.

    The mean of every loss over the ranks, weighted by their rows, is the loss of the whole batch: what is a mean over rows need
    not look here. What is taken over the batch (a variance, a budget, other rows) does.
    """

    rows: Group = ALONE
    """The ranks that share the batch."""
    start: int = 0
    """Rows of the batch before the first one here; those that count."""
    total: int | None = None
    """Rows of the whole batch that count; None: those that are here."""


_PART: ContextVar[BatchPart] = ContextVar("monoseme_batch_part", default=BatchPart())  # noqa: B039  (a NamedTuple)


def batch_part() -> BatchPart:
    """The part in force. Asked in the forward: backward may run in another thread."""
    return _PART.get()


@contextlib.contextmanager
def sharing_batch(part: BatchPart) -> Iterator[None]:
    """Training forwards of the body have this part of their batch."""
    token = _PART.set(part)
    try:
        yield
    finally:
        _PART.reset(token)
