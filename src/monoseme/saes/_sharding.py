"""An SAE over several processes and as a whole: making it, bringing its tensors together, and giving them out again.

What is stored is always the whole SAE: a run can go on with another number of processes, and whoever reads it knows nothing of
them. Whole tensors are on the CPU of the first process alone; on the way there a block of latents of every process is on each
device. All processes that divide an SAE call these functions together, but for `own_tensors`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from monoseme.saes._base import SAE
from monoseme.saes._mesh import n_here, on_shard
from monoseme.saes._registry import build
from monoseme.tensors.processes import ALONE, Group
from monoseme.tensors.shapes import Tensor

_BLOCK_ELEMENTS = 2**24
"""Of one process's part of a tensor that goes round at once: 64 MB of float32 from each."""


def sharded(config: Any, latents: Group) -> SAE:
    """This rank's part of the SAE that `build(config)` makes: the same start, with the latents that are here.

    Holds its part and a block of rows. Raises ConfigError where this SAE cannot be divided so.
    """
    with on_shard(latents):
        return build(config)


def axis_of(sae: SAE, name: str, *, others: Mapping[str, int] | None = None) -> int | None:
    """Along which axis the latents of a tensor lie, of which each process has its own; None where each has the whole.

    The name is that of a parameter or buffer, or has it between dots: a moment of an optimiser is `W_dec.exp_avg`, a mean
    `mean.W_dec`. `others` are further names of things that latents have.
    """
    if sae.shard.size == 1:
        return None
    axes = {**sae.latent_axes, **(others or {})}
    return next((axes[known] for known in name.split(".") if known in axes), None)


def each_whole(
    sae: SAE, tensors: Mapping[str, Tensor], *, others: Mapping[str, int] | None = None
) -> Iterator[tuple[str, Tensor | None]]:
    """Each tensor with all latents, on the CPU of the first process that divides them, one after the other; None on the others.

    Names are as in `axis_of`; a tensor without axes (`W_dec.step`) is whole everywhere. All processes give the same names.
    """
    for name, tensor in tensors.items():
        axis = axis_of(sae, name, others=others) if tensor.ndim else None
        yield name, _gathered(sae, tensor.detach(), axis)


def whole_tensors(sae: SAE, tensors: Mapping[str, Tensor], *, others: Mapping[str, int] | None = None) -> dict[str, Tensor]:
    """All of `each_whole` together, on the CPU of the first process; nothing on the others. An SAE by itself: what is given."""
    if sae.shard.size == 1:
        return dict(tensors)
    return {name: found for name, found in each_whole(sae, tensors, others=others) if found is not None}


def own_tensors(sae: SAE, wholes: Mapping[str, Tensor], *, others: Mapping[str, int] | None = None) -> dict[str, Tensor]:
    """Of whole tensors, the latents that are here (views)."""
    return {name: _own(whole, axis_of(sae, name, others=others), sae.shard) for name, whole in wholes.items()}


def whole(sae: SAE) -> SAE | None:
    """The whole SAE on the CPU of the first process, by itself; None on the others. One that is alone is itself."""
    if sae.shard.size == 1:
        return sae
    state = whole_tensors(sae, sae.state_dict())
    if not state:
        return None
    with on_shard(ALONE):
        made = build(sae.config)
    made.to(dtype=sae.b_dec.dtype)
    made.load_state_dict(state)
    made.kernel_choice, made.provenance = sae.kernel_choice, dict(sae.provenance)
    return made


def _own(whole: Tensor, axis: int | None, latents: Group) -> Tensor:
    if axis is None or whole.ndim == 0:
        return whole
    every = [slice(None)] * axis
    return whole[(*every, slice(latents.rank, None, latents.size))]


def _gathered(sae: SAE, tensor: Tensor, axis: int | None) -> Tensor | None:
    """The whole on the first process."""
    latents, first = sae.shard, sae.shard.rank == 0
    if axis is None:
        return tensor.to("cpu", copy=True) if first else None
    rows, n_latents = tensor.movedim(axis, 0), sae.config.n_latents
    made = torch.empty(n_latents, *rows.shape[1:], dtype=rows.dtype) if first else None
    n_at_once = max(1, _BLOCK_ELEMENTS // max(1, rows[:1].numel()))
    for start in range(0, n_here(n_latents, Group(0, latents.size)), n_at_once):
        for rank, block in enumerate(latents.gather_rows(rows[start : start + n_at_once])):
            if made is not None:
                made[rank + start * latents.size :: latents.size][: len(block)] = block.cpu()
    return None if made is None else made.movedim(0, axis)
