"""The products a screen may use: any fast one, since what it gives are proposals.

`monoseme.kernels._measured` says which one is fastest on a machine; results do not depend on it.
Letters: b rows of a chunk, D model width, F latents.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch.nn import functional

from monoseme.kernels._measured import fastest
from monoseme.tensors.shapes import Float, Tensor

_PIECE_ROWS = 512
"""Rows that oneDNN multiplies at once: for 2,048 rows and 2,457 latents, 29 ms of two cores' time instead of 50."""


class ScreenProduct(ABC):
    """Scores of rows against all latents, summed in float32 at least and rounded once, to `dtype`."""

    name: ClassVar[str]
    dtype: ClassVar[torch.dtype]
    """Of rows, latents and scores."""

    def packed(self, latents: Float[Tensor, "F D"]) -> Tensor:
        """The latents in the layout that `product` wants, made once for many chunks."""
        return latents

    @abstractmethod
    def product(self, rows: Float[Tensor, "b D"], latents: Tensor, out: Float[Tensor, "b F"]) -> None:
        """Writes rows @ latents^T; `latents` come from `packed`."""


class HalfProduct(ScreenProduct):
    """bfloat16 in, float32 sums, bfloat16 out: four times as fast as float32 where the processor multiplies bfloat16."""

    name: ClassVar[str] = "bf16"
    dtype: ClassVar[torch.dtype] = torch.bfloat16

    def product(self, rows: Float[Tensor, "b D"], latents: Tensor, out: Float[Tensor, "b F"]) -> None:
        """torch's own product."""
        torch.mm(rows, latents.t(), out=out)


class MklProduct(ScreenProduct):
    """float32, by whatever `torch.mm` is built on."""

    name: ClassVar[str] = "mkl"
    dtype: ClassVar[torch.dtype] = torch.float32

    def product(self, rows: Float[Tensor, "b D"], latents: Tensor, out: Float[Tensor, "b F"]) -> None:
        """torch's own product."""
        torch.mm(rows, latents.t(), out=out)


class OneDnnProduct(ScreenProduct):
    """float32 by oneDNN, on AMD 1.5 times as fast as MKL; this is the public way to it, at the price of a copy."""

    name: ClassVar[str] = "onednn"
    dtype: ClassVar[torch.dtype] = torch.float32

    def packed(self, latents: Float[Tensor, "F D"]) -> Tensor:
        """oneDNN's own layout."""
        return latents.to_mkldnn()

    def product(self, rows: Float[Tensor, "b D"], latents: Tensor, out: Float[Tensor, "b F"]) -> None:
        """A linear map without bias, some rows at a time: both copies of a piece stay in the cache."""
        for part, written in zip(rows.split(_PIECE_ROWS), out.split(_PIECE_ROWS), strict=True):
            written.copy_(functional.linear(part.to_mkldnn(), latents).to_dense())


SCREEN_PRODUCTS: dict[str, ScreenProduct] = {p.name: p for p in (HalfProduct(), OneDnnProduct(), MklProduct())}


def in_use() -> ScreenProduct:
    """The one that is fastest here."""
    return SCREEN_PRODUCTS[fastest().screen]
