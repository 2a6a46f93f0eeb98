"""How Triton's kernels are made and launched here; the only place that knows of its interpreter.

Under TRITON_INTERPRET=1, set before Triton is first imported, kernels run in Python on the tensors of any device: slow, and the
way their results are checked where there is no GPU.
"""

import inspect
import os
from collections.abc import Callable
from typing import Any

import torch
import triton

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether kernels made in this process run in Python."""


def kernel(function: Callable[..., Any]) -> Any:
    """A kernel, or a helper of kernels. Without the checks that tests wrap around every function: Triton reads the source."""
    return triton.jit(inspect.unwrap(function))


def launch(jitted: Any, grid: int | tuple[int, ...], *arguments: object, **constants: object) -> None:
    """Runs one program per point of the grid, on the device of the first argument; nothing where the grid is empty."""
    points = (grid,) if isinstance(grid, int) else grid
    if 0 in points:
        return
    with torch.cuda.device_of(arguments[0]):
        # Said outright: Triton's default is about to change, and with it the bits of every sum of products.
        jitted[points](*arguments, enable_fp_fusion=True, **constants)


def runs_on(tensor: torch.Tensor) -> bool:
    """Whether kernels can read this tensor."""
    return tensor.device.type == "cuda" or (INTERPRETED and tensor.device.type == "cpu")
