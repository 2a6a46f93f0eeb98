"""Notes on a tensor that hold while it is not changed: a copy in bfloat16, that its rows have unit norm.

A note is tied to the tensor's version, which in-place operations of torch raise, so that a note outlives nothing it should not.
Whoever writes into the memory past that count (a compiled loop, `.data`) calls `changed` when done, and may note afresh what it
knows. Torch's fused optimisers do not raise it either (seen in 2.13); a hook on all optimisers does it for them. Copies of a
tensor have no notes.
"""

import functools
from typing import Any, NamedTuple, cast

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from monoseme.tensors.shapes import Tensor

_ATTRIBUTE = "_monoseme_notes"


class _Note(NamedTuple):
    version: int
    memory: Tensor
    """The tensor's own, held so that no other gets its address: `module.to` gives parameters other memory at the same version."""
    value: Any

    def holds(self, tensor: Tensor) -> bool:
        """Whether the tensor is as it was."""
        same = self.memory.data_ptr() == tensor.data_ptr() and self.memory.dtype == tensor.dtype
        return same and self.version == tensor._version


def note(tensor: Tensor, name: str, value: Any) -> None:
    """Keeps `value` on the tensor under that name until the tensor changes."""
    _watch_optimisers()
    notes = cast(dict[str, _Note], getattr(tensor, _ATTRIBUTE, {}))
    setattr(tensor, _ATTRIBUTE, {**notes, name: _Note(tensor._version, tensor.detach(), value)})


def noted(tensor: Tensor, name: str) -> Any:
    """The value kept under that name; None if there is none, or the tensor has changed since."""
    found = cast(dict[str, _Note], getattr(tensor, _ATTRIBUTE, {})).get(name)
    return found.value if found is not None and found.holds(tensor) else None


def last_noted(tensor: Tensor, name: str) -> Any:
    """The value kept under that name, whether it still holds or not: memory to use again. None if there is none."""
    found = cast(dict[str, _Note], getattr(tensor, _ATTRIBUTE, {})).get(name)
    return None if found is None else found.value


@torch.no_grad()
def changed(tensor: Tensor) -> None:
    """Says that the tensor's memory was written past torch: raises its version, as an operation in place would have."""
    tensor.reshape(-1)[:0].zero_() if tensor.is_contiguous() else tensor.t().reshape(-1)[:0].zero_()


@functools.cache
def _watch_optimisers() -> None:
    register_optimizer_step_post_hook(_after_step)


def _after_step(optimiser: torch.optim.Optimizer, *_: Any) -> None:
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            # Without a gradient it was passed over: it may have been updated, and noted, by rows.
            if parameter.grad is not None and getattr(parameter, _ATTRIBUTE, None):
                changed(parameter)
