"""What the processes that train one SAE tell each other in a step: how many rows each has, gradients, the numbers of the batch.

Each has a part of the rows of every batch. A loss counts by the part's share of the rows, gradients are added up, and every
process takes the same step: from equal weights, equal weights.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from monoseme.core.errors import TrainingError
from monoseme.saes import SAE, Losses
from monoseme.tensors.processes import BatchPart, Group, Mesh
from monoseme.training.feed import Rows
from monoseme.training.metrics import mean_l0


class Division(NamedTuple):
    """A batch that is worked through in parts, by several processes."""

    parts: list[BatchPart]
    """Of each part: what of it is here."""
    shares: list[float]
    """Of each part: the rows here as a share of those of the whole batch."""
    whole: BatchPart
    """All parts as one."""

    @property
    def share(self) -> float:
        """The rows here, as a share of those of the whole batch."""
        return sum(self.shares)


def divide(parts: Sequence[Rows], rows: Group, *, pairs: bool = False) -> Division:
    """Counts the rows, or `pairs`, of each part on every process of `rows`. Raises TrainingError where one has none."""
    if rows.size == 1 and len(parts) == 1:  # a count would wait for the device
        return Division([BatchPart()], [1.0], BatchPart())
    here = [part.n_pairs if pairs else part.n_counted for part in parts]
    each = torch.stack(rows.gather(torch.tensor(here)))  # [processes, parts]
    if rows.size > 1 and int(each.min()) == 0:
        raise TrainingError(
            f"a batch has no rows for one of {rows.size} processes: it holds {int(each.sum())}, in {len(parts)} parts.\n"
            "  Give a larger batch_size, a smaller accumulate, or fewer processes."
        )
    totals, before = each.sum(0).tolist(), each[: rows.rank].sum(0).tolist()
    n_rows = sum(totals)
    return Division(
        parts=[BatchPart(rows, start, total) for start, total in zip(before, totals, strict=True)],
        shares=[n / n_rows for n in here],
        whole=BatchPart(rows, sum(before), n_rows),
    )


def whole_batch(batch: Rows, rows: Group) -> Rows:
    """The vectors of all processes' parts, in order; texts are left out."""
    mask = None if batch.mask is None else torch.cat(rows.gather_rows(batch.mask))
    return Rows(torch.cat(rows.gather_rows(batch.x)), mask)


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter], rows: Group) -> None:
    """Adds up each parameter's dense gradient over the processes; one that has none where others have one gives zeros."""
    given = [parameter for parameter in parameters if parameter.requires_grad]
    if rows.size == 1 or not given:
        return
    there = rows.max(torch.tensor([parameter.grad is not None for parameter in given])).tolist()
    taking = [parameter for parameter, is_there in zip(given, there, strict=True) if is_there]
    for parameter in taking:
        parameter.grad = _laid_out_like(parameter, parameter.grad)
    rows.sum_in_place([_in_memory_order(parameter.grad) for parameter in taking if parameter.grad is not None])


def _laid_out_like(parameter: Tensor, grad: Tensor | None) -> Tensor:
    """The gradient (None: zeros) with the strides of its parameter, which are the same on all processes."""
    if grad is None:
        return torch.zeros_like(parameter)
    return grad if grad.stride() == parameter.stride() else torch.empty_like(parameter).copy_(grad)


def _in_memory_order(tensor: Tensor) -> Tensor:
    """The same memory as a contiguous tensor: an encoder lies transposed."""
    return tensor.permute(sorted(range(tensor.ndim), key=lambda axis: -tensor.stride(axis)))


class Told(NamedTuple):
    """The numbers of one step of the whole batch, the same on all processes."""

    losses: Losses
    """Total, parts and logs of the whole batch; codes and rows of this process."""
    l0: Tensor | None
    """Active latents per row; None where the architecture does not say."""
    n_rows: int
    """As `losses.n_rows`, of the whole batch."""


def tell_numbers(losses: Losses, division: Division, mesh: Mesh) -> Told:
    """One reduction on each axis, on the device; float32."""
    l0, rows = mean_l0(losses), mesh.rows
    if l0 is not None:  # of the latents that are here
        l0 = mesh.latents.sum(l0)
    if rows.size == 1:
        return Told(losses, l0, losses.n_rows)
    named = {"total": losses.total, **{f"part {name}": value for name, value in losses.parts.items()}}
    named |= {f"log {name}": value for name, value in losses.logs.items()} | ({} if l0 is None else {"l0": l0})
    values = torch.stack([value.detach().float() for value in named.values()]) * division.share
    summed = dict(zip(named, rows.sum(values).unbind(), strict=True))
    whole = losses._replace(
        total=summed["total"],
        parts={name: summed[f"part {name}"] for name in losses.parts},
        logs={name: summed[f"log {name}"] for name in losses.logs},
    )
    return Told(whole, summed.get("l0"), round(losses.n_rows / division.share))


def whole_losses(losses: Losses, rows: Group) -> Losses:
    """The losses with the rows of all processes in place of those here."""
    if rows.size == 1:
        return losses
    x, x_hat = (torch.cat(rows.gather_rows(tensor.detach())) for tensor in (losses.x, losses.x_hat))
    return losses._replace(x=x, x_hat=x_hat)


def require_same(name: str, sae: SAE, rows: Group) -> None:
    """Raises TrainingError where a process holds other weights than the first: bit for bit, by sums of their bits."""
    if rows.size == 1:
        return
    tensors = sae.state_dict()
    sums = torch.stack([_bits(tensor) for tensor in tensors.values()])
    each = torch.stack(rows.gather(sums))
    differing = [what for what, column in zip(tensors, each.unbind(1), strict=True) if bool((column != column[0]).any())]
    if differing:
        raise TrainingError(
            f'the processes no longer hold the same weights of "{name}": {", ".join(differing)} differ.\n'
            "  All need the same kind of device and the same version of torch. Go on from the last checkpoint with --resume."
        )


def _bits(tensor: Tensor) -> Tensor:
    """The sum of a tensor's bits, taken as whole numbers of its size; int64, 0-d, on the CPU."""
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.detach().flatten().view(whole).sum(dtype=torch.int64).cpu()
