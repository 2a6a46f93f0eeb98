"""A batch in parts, for gradient accumulation, and the losses of the parts as those of the whole."""

from collections.abc import Sequence

import torch
from torch import Tensor

from monoseme.saes import Losses
from monoseme.tensors.sparse import SparseCodes


def split_batch(batch: Tensor, n_parts: int) -> tuple[Tensor, ...]:
    """`batch` cut along its first axis into at most `n_parts` parts of nearly equal size, none empty."""
    return (batch,) if n_parts == 1 else batch.tensor_split(min(n_parts, batch.shape[0]))


def join_losses(parts: Sequence[Losses], shares: Sequence[float]) -> Losses:
    """The losses of the whole batch: means weighted by each part's share of the rows, codes and reconstructions stacked.

    Nothing in the result holds on to a graph.
    """
    if len(parts) == 1:
        return _detached(parts[0])
    return Losses(
        total=_mean([part.total for part in parts], shares),
        parts={name: _mean([part.parts[name] for part in parts], shares) for name in parts[0].parts},
        active=_cat_codes([part.active for part in parts]),
        x_hat=torch.cat([part.x_hat.detach() for part in parts]),
        x=torch.cat([part.x for part in parts]),
    )


def _mean(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    return torch.stack([value.detach() * share for value, share in zip(values, shares, strict=True)]).sum()


def _cat_codes(codes: Sequence[SparseCodes | None]) -> SparseCodes | None:
    present = [part for part in codes if part is not None]
    return SparseCodes.cat(present) if present else None


def _detached(losses: Losses) -> Losses:
    parts = {name: value.detach() for name, value in losses.parts.items()}
    return losses._replace(total=losses.total.detach(), parts=parts, x_hat=losses.x_hat.detach())
