"""Float32 products of a capture by the quicker of the two libraries inside torch, exact to float32 with either.

torch multiplies float32 matrices with MKL, which on AMD takes 1.5 to 1.8 times as long as oneDNN. The public switch to oneDNN
(`torch.set_float32_matmul_precision("medium")`) is one of the whole process and permits bfloat16 inside: an SAE that learns in
another thread would be rounded by it. So the products of the forward alone, in its own thread, are handed to oneDNN's float32.
Which is the quicker is measured once per machine (`monoseme.kernels.fastest`), noted by each run, and kept when it resumes.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from monoseme.kernels import fastest

_MOST_ERROR = 2e-6
"""Relative norm against float64. Float32 gives 2e-7 to 5e-7 here; what is rounded to tf32 inside gives 3e-4, to bfloat16 2e-3."""
_LEAST_WORK = 2**22
"""Products with fewer multiplications take less time than the detour: 64 rows through 256 x 256 are where it begins to pay."""

Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@contextlib.contextmanager
def quick_products() -> Iterator[None]:
    """For the body, in this thread: large float32 products on the CPU that ask for no gradient go by the quicker library."""
    product = _onednn() if fastest().float32 == "onednn" else None
    if product is None:
        yield
        return
    with _ByOneDnn(product):
        yield


@functools.cache
def _onednn() -> Product | None:
    """oneDNN's x W^T + b; None where torch was built without it, or where it rounds more coarsely than float32.

    The operator is not public. `to_mkldnn` tensors are, but hold a second copy of all weights and copy all that goes in and out.
    """
    operator: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
    if operator is None:
        return None

    def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return operator(x, weight, bias, "none", [], "")

    return product if rounding_error(product) <= _MOST_ERROR else None


def rounding_error(product: Product) -> float:
    """Relative norm of the difference between a product of float32 matrices, 64 x 512 x 256, and the one in float64."""
    rng = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(shape, generator=rng) for shape in ((64, 512), (256, 512), (256,)))
    exact = torch.addmm(bias.double(), x.double(), weight.double().t())
    return float((product(x, weight, bias) - exact).norm() / exact.norm())


class _ByOneDnn(TorchFunctionMode):
    """Sends the products that suit it to oneDNN, leaves all else as it is."""

    def __init__(self, product: Product) -> None:
        super().__init__()
        self._product = product

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # pyright: ignore
        if not kwargs:
            if func is functional.linear and _suit(args[0], args[1]):
                return self._product(args[0], args[1], args[2] if len(args) > 2 else None)
            if func is torch.addmm and _suit(args[1], args[2]) and args[0].ndim == 1:  # GPT-2 holds W transposed
                return self._product(args[1], args[2].t(), args[0])
        return func(*args, **(kwargs or {}))


def _suit(x: Tensor, weight: Tensor) -> bool:
    """Whether these are plain float32 matrices of the CPU, large enough, and nobody asks for a gradient."""
    return (
        _is_plain(x)
        and _is_plain(weight)
        and x.ndim >= 2
        and weight.ndim == 2
        and (x.numel() // max(x.shape[-1], 1)) * weight.numel() >= _LEAST_WORK
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def _is_plain(tensor: Tensor) -> bool:
    is_dense = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided
    return is_dense and tensor.device.type == "cpu" and tensor.dtype is torch.float32
