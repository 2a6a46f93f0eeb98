"""Notes on a tensor that hold while it is not changed: a copy in bfloat16, that its rows have unit norm.

A note is tied to the tensor's version, which every in-place operation of torch raises, so that a note outlives nothing it should
not. Whoever writes into the memory past torch (a compiled loop) calls `changed` when done, and may note afresh what it knows.
Copies of a tensor have no notes.
"""

from typing import Any, NamedTuple, cast

import torch

from monoseme.tensors.shapes import Tensor

_ATTRIBUTE = "_monoseme_notes"


class _Note(NamedTuple):
    version: int
    value: Any


def note(tensor: Tensor, name: str, value: Any) -> None:
    """Keeps `value` on the tensor under that name until the tensor changes."""
    notes = cast(dict[str, _Note], getattr(tensor, _ATTRIBUTE, {}))
    setattr(tensor, _ATTRIBUTE, {**notes, name: _Note(tensor._version, value)})


def noted(tensor: Tensor, name: str) -> Any:
    """The value kept under that name; None if there is none, or the tensor has changed since."""
    found = cast(dict[str, _Note], getattr(tensor, _ATTRIBUTE, {})).get(name)
    return found.value if found is not None and found.version == tensor._version else None


def last_noted(tensor: Tensor, name: str) -> Any:
    """The value kept under that name, whether it still holds or not: memory to use again. None if there is none."""
    found = cast(dict[str, _Note], getattr(tensor, _ATTRIBUTE, {})).get(name)
    return None if found is None else found.value


@torch.no_grad()
def changed(tensor: Tensor) -> None:
    """Says that the tensor's memory was written past torch: raises its version, as an operation in place would have."""
    tensor.reshape(-1)[:0].zero_() if tensor.is_contiguous() else tensor.t().reshape(-1)[:0].zero_()
