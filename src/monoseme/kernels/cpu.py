"""The CPU kernels in Numba: a screen in low precision proposes latents, float32 decides, nothing of size [B, F] is kept.

Rows go through a fast product some hundreds at a time, into a buffer that is made once. Every latent that the bound of
`monoseme.kernels._certificate` cannot exclude is scored again, and the selection is by these scores: float32 dot products of the
centred row and the latent's weights, summed in an order that depends on the width alone, plus the bias. So results do not depend
on the screen, on threads or on the other rows. What cannot be screened (rows with NaN or infinity, rows with too many candidates,
k near the number of latents) gets all its dot products. Two choices are made from a plain float32 product, whose bits are its
library's: among some latents, and above a threshold that a large part exceeds. Everything but contiguous float32 on the CPU goes
to the torch set.

Letters: B rows, D model width, F latents, K entries per row, n entries in all.
Source: screening by block maxima is our own; the bound is Cauchy and Schwarz's.
"""

from typing import ClassVar

import torch

from monoseme.kernels import _cpu_batch, _cpu_topk
from monoseme.kernels._contract import Encoder, Kernels
from monoseme.kernels._cpu_products import NumbaProducts
from monoseme.kernels._cpu_rows import NumbaRows
from monoseme.kernels._products import attach, centred_rows, decode_with
from monoseme.kernels._rows import RowUpdates
from monoseme.kernels.torch_fast import TorchKernels
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_TORCH = TorchKernels()
_PRODUCTS = NumbaProducts()


class NumbaKernels(Kernels):
    """Compiled loops at their first call, cached for later processes."""

    name: ClassVar[str] = "numba"
    rows: RowUpdates | None = NumbaRows()

    def encode_topk(
        self, x: Float[Tensor, "B D"], encoder: Encoder, k: int, *, among: Int[Tensor, " m"] | None = None
    ) -> SparseCodes:
        """A screen and an exact selection per chunk of rows; with `among` a float32 product of those latents instead.

        Among a few latents of which many are chosen, most would be candidates; the values are then those of the product.
        """
        if not _suits(x, encoder):
            return _TORCH.encode_topk(x, encoder, k, among=among)
        centred = centred_rows(x, encoder)
        if among is None:
            codes = _cpu_topk.screened(centred, encoder, k)
        else:
            codes = _cpu_topk.among(centred, encoder, k, among)
        return attach(_PRODUCTS, x, centred, encoder, codes)

    def encode_batch_topk(self, x: Float[Tensor, "B D"], encoder: Encoder, n: int) -> SparseCodes:
        """Entries above a guess of the cut are collected chunk by chunk, scored again where they may count, and cut exactly."""
        if not _suits(x, encoder):
            return _TORCH.encode_batch_topk(x, encoder, n)
        centred = centred_rows(x, encoder)
        return attach(_PRODUCTS, x, centred, encoder, _cpu_batch.largest(centred, encoder, n))

    def encode_threshold(
        self, x: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
    ) -> SparseCodes:
        """A screen, then the entries it cannot exclude; where many are above the threshold, one float32 product."""
        if not _suits(x, encoder) or threshold.dtype != torch.float32 or threshold.device != x.device:
            return _TORCH.encode_threshold(x, encoder, threshold)
        centred = centred_rows(x, encoder)
        codes = _cpu_batch.above(centred, encoder, threshold.detach())
        if codes is None:
            return _TORCH.encode_threshold(x, encoder, threshold)
        return attach(_PRODUCTS, x, centred, encoder, codes)

    def attach(self, x: Float[Tensor, "B D"], encoder: Encoder, codes: SparseCodes) -> SparseCodes:
        """Sparse gradients."""
        if not _suits(x, encoder):
            return _TORCH.attach(x, encoder, codes)
        return attach(_PRODUCTS, x, centred_rows(x, encoder), encoder, codes)

    def decode(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """A weighted sum of the active rows of `weight`."""
        return decode_with(_PRODUCTS, codes, weight, bias)

    def topk(self, pre: Float[Tensor, "B F"], k: int) -> SparseCodes:
        """A bisection of each row's values."""
        if not (_plain(pre) and pre.is_contiguous() and pre.numel()):
            return _TORCH.topk(pre, k)
        latents = _cpu_topk.topk_latents(pre.detach(), k).latents.long()
        return SparseCodes.from_topk(latents, pre.gather(1, latents), pre.shape[1])

    def batch_topk(self, pre: Float[Tensor, "B F"], n: int) -> SparseCodes:
        """The torch set's: the matrix exists already, and block maxima do well on it."""
        return _TORCH.batch_topk(pre, n)

    def threshold(self, pre: Float[Tensor, "B F"], threshold: Float[Tensor, ""] | Float[Tensor, " F"]) -> SparseCodes:
        """A comparison."""
        return _TORCH.threshold(pre, threshold)


def _suits(x: Tensor, encoder: Encoder) -> bool:
    """Whether the loops can read these tensors as they lie in memory."""
    weight = encoder.weight
    tensors = [t for t in (x, *encoder) if t is not None]
    laid_out = x.is_contiguous() and weight.t().is_contiguous() and encoder.bias.is_contiguous()
    # Tensors made in inference mode have no version, by which the copy of the weight is known to hold.
    return laid_out and all(map(_plain, tensors)) and bool(x.numel()) and bool(weight.numel()) and not weight.is_inference()


def _plain(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
