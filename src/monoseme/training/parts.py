"""The losses of the parts of a batch as those of the whole."""

from collections.abc import Sequence

import torch
from torch import Tensor

from monoseme.saes import Losses
from monoseme.tensors.sparse import SparseCodes


def without_graph(losses: Losses) -> Losses:
    """The same numbers, holding on to nothing of the forward."""
    parts = {name: value.detach() for name, value in losses.parts.items()}
    return losses._replace(total=losses.total.detach(), parts=parts, x_hat=losses.x_hat.detach())


def join_losses(parts: Sequence[Losses], shares: Sequence[float]) -> Losses:
    """The losses of the whole batch: means weighted by each part's share of the rows, codes and reconstructions stacked."""
    if len(parts) == 1:
        return parts[0]
    return Losses(
        total=_mean([part.total for part in parts], shares),
        parts={name: _mean([part.parts[name] for part in parts], shares) for name in parts[0].parts},
        active=_cat_codes([part.active for part in parts]),
        x_hat=torch.cat([part.x_hat for part in parts]),
        x=torch.cat([part.x for part in parts]),
        logs={name: _mean([part.logs[name] for part in parts], shares) for name in parts[0].logs},
    )


def _mean(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    return torch.stack([value * share for value, share in zip(values, shares, strict=True)]).sum()


def _cat_codes(codes: Sequence[SparseCodes | None]) -> SparseCodes | None:
    present = [part for part in codes if part is not None]
    return SparseCodes.cat(present) if present else None
