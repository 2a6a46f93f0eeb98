"""Buffers that are made once and used again: no fresh large tensor in a step.

A buffer belongs to a thread and a name, and is valid until the same thread asks for that name again. It holds what was last
written there, grows when more is asked for, and goes when its thread ends.
"""

import math
import threading

import torch

from monoseme.tensors.shapes import Tensor


class _Buffers(threading.local):
    """The buffers of one thread, flat."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, torch.dtype], Tensor] = {}


_buffers = _Buffers()


def workspace(name: str, *shape: int, dtype: torch.dtype) -> Tensor:
    """A contiguous CPU tensor of that shape, contents undefined."""
    size = math.prod(shape)
    held = _buffers.held.get((name, dtype))
    if held is None or held.numel() < size:
        # Plain memory even where inference mode is on: such tensors could not be written outside it.
        with torch.inference_mode(False):
            held = torch.empty(size, dtype=dtype)
        _buffers.held[name, dtype] = held
    return held[:size].view(shape)
