"""What the tests of the Triton kernels share: where they run, and problems of several sizes.

On a CUDA device everything runs compiled, and the sizes of real SAEs are tried too. Without one, these tests run in Triton's
interpreter, in a process of their own (`test_gpu_interpreted.py`): the variable that asks for it must be set before anything
imports Triton, and would change what other tests are told about the kernels that can run here.
"""

import importlib.util
import os
from typing import NamedTuple

import pytest
import torch

from monoseme.kernels import Encoder

HAS_TRITON = importlib.util.find_spec("triton") is not None
HAS_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")
RUNS = HAS_TRITON and (HAS_GPU or os.environ.get("TRITON_INTERPRET") == "1")
REASON = "needs Triton and a CUDA device; without one, test_gpu_interpreted.py runs this file in Triton's interpreter"


class Sizes(NamedTuple):
    """B, D, F, K."""

    n_rows: int
    width: int
    n_latents: int
    k: int


ONE_TILE = Sizes(5, 7, 11, 3)
TWO_TILES = Sizes(3, 70, 150, 4)
REAL = Sizes(2048, 768, 24576, 32)
ODD = Sizes(1021, 523, 8191, 31)
SIZES = [ONE_TILE, TWO_TILES, pytest.param(REAL, marks=pytest.mark.gpu), pytest.param(ODD, marks=pytest.mark.gpu)]
WHICH = {"ids": lambda sizes: "x".join(map(str, sizes))}


class Case(NamedTuple):
    """Leaves of an autograd graph."""

    x: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    centre: torch.Tensor
    decoder: torch.Tensor

    @property
    def encoder(self) -> Encoder:
        """With the centre."""
        return Encoder(self.weight, self.bias, self.centre)

    def as_(self, dtype: torch.dtype) -> "Case":
        """The same numbers, where they fit, in another type."""
        return Case(*(t.detach().to(dtype).requires_grad_() for t in self))


def case(sizes: Sizes, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Case:
    """Random normal rows and unit-scale latents."""
    stream = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return (torch.randn(*shape, generator=stream) * scale).to(DEVICE, dtype)

    n_rows, width, n_latents, _ = sizes
    latents = draw(n_latents, width, scale=width**-0.5)
    made = (draw(n_rows, width), latents.t(), draw(n_latents, scale=0.1), draw(width), draw(n_latents, width))
    return Case(*(t.requires_grad_() for t in made))


def exact(given: Case) -> torch.Tensor:
    """Pre-activations in float64."""
    centred = (given.x - given.centre).detach().double()
    return centred @ given.weight.detach().double() + given.bias.detach().double()
