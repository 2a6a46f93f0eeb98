"""The processes that share a run, and what they do together: `torchrun` starts them, torch.distributed joins them.

A `Group` is one axis of them: the ranks that divide the rows of a batch, or those that divide the latents of an SAE. A group of
one does nothing, so that code is the same with and without company. Reductions are in the dtype of the tensor given; the result
is the same on all ranks, bit for bit. gloo serves the CPU and NCCL GPUs, by the same calls.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

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
        given = tensor.contiguous()
        found = [torch.empty_like(given) for _ in range(self.size)]
        torch.distributed.all_gather(found, given, group=self.handle)
        return found

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

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            torch.distributed.barrier(group=self.handle)

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
