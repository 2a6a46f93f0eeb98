"""The floor of a training step on this machine, timed in the same rounds as the steps.

    floor = (seconds of x W_enc in bfloat16, at its best rate) + (one pass of Adam over both matrices)

An SAE that looks at every latent needs that product, and Adam needs every weight and its two moments read and written once: 24
bytes for each number, where the gradient never lies in memory. Their rate is that of torch's fused Adam, which also reads a
gradient, 28 bytes for each number. Everything else of a step is sparse and small.
Letters: B rows, D model width, F latents.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from monoseme.benchmarks._rounds import Contestant, Timing
from monoseme.benchmarks._sizes import Sizes

_ADAM_BYTES_TIMED, _ADAM_BYTES_NEEDED = 28, 24
_PREFIX = "floor: "
_ADAM = _PREFIX + "adam"
_ROWS, _LATENTS = (256, 512, 1024), (2048, 4096)


class Floor(NamedTuple):
    """What a step cannot be faster than."""

    product: float
    """Seconds."""
    adam: float
    """Seconds."""
    product_gflops: float
    """Best rate of the bfloat16 product."""
    adam_gb_per_s: float
    """Best rate of the fused Adam."""
    shape: str
    """In which pieces the product was fastest."""

    @property
    def seconds(self) -> float:
        """Of both."""
        return self.product + self.adam


def floor_contestants(sizes: Sizes) -> dict[str, Contestant]:
    """The product in several shapes and the pass of Adam, as contestants of the rounds."""
    x = torch.randn(sizes.batch, sizes.d_model).bfloat16()
    weight = torch.randn(sizes.n_latents, sizes.d_model).bfloat16()
    out = torch.empty(sizes.batch, sizes.n_latents, dtype=torch.bfloat16)
    shapes = {"whole": _by_rows(x, weight, out, sizes.batch), "whole, transposed": _transposed(x, weight)}
    shapes |= {f"{n} rows": _by_rows(x, weight, out, n) for n in _ROWS if n < sizes.batch}
    shapes |= {f"{n} latents": _by_latents(x, weight, n) for n in _LATENTS if n < sizes.n_latents}
    return {_PREFIX + name: _timed(product) for name, product in shapes.items()} | {_ADAM: _timed(_adam_pass(sizes))}


def floor_of(timings: Mapping[str, Timing], sizes: Sizes) -> Floor:
    """The floor from the timings of the contestants above."""
    products = {name: t.best for name, t in timings.items() if name.startswith(_PREFIX) and name != _ADAM}
    shape = min(products, key=products.__getitem__)
    n_numbers = 2 * sizes.n_latents * sizes.d_model
    rate = n_numbers * _ADAM_BYTES_TIMED / timings[_ADAM].best
    return Floor(
        product=products[shape],
        adam=n_numbers * _ADAM_BYTES_NEEDED / rate,
        product_gflops=2e-9 * sizes.batch * sizes.d_model * sizes.n_latents / products[shape],
        adam_gb_per_s=rate * 1e-9,
        shape=shape.removeprefix(_PREFIX),
    )


def is_of_floor(name: str) -> bool:
    """Whether a contestant is a part of the floor."""
    return name.startswith(_PREFIX)


def _timed(work: Callable[[], object]) -> Contestant:
    def contestant() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return contestant


def _by_rows(x: Tensor, weight: Tensor, out: Tensor, n: int) -> Callable[[], None]:
    def product() -> None:
        for rows, into in zip(x.split(n), out.split(n), strict=True):
            torch.mm(rows, weight.t(), out=into)

    return product


def _by_latents(x: Tensor, weight: Tensor, n: int) -> Callable[[], None]:
    pieces = [(part, torch.empty(x.shape[0], part.shape[0], dtype=x.dtype)) for part in weight.split(n)]

    def product() -> None:
        for part, into in pieces:
            torch.mm(x, part.t(), out=into)

    return product


def _transposed(x: Tensor, weight: Tensor) -> Callable[[], Tensor]:
    out = torch.empty(weight.shape[0], x.shape[0], dtype=x.dtype)
    return lambda: torch.mm(weight, x.t(), out=out)


def _adam_pass(sizes: Sizes) -> Callable[[], None]:
    matrices = [nn.Parameter(torch.randn(sizes.n_latents, sizes.d_model)) for _ in range(2)]
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)
    adam = torch.optim.Adam(matrices, fused=True)
    return lambda: adam.step() and None
