"""Kernels for CUDA devices, written in Triton: the dense pre-activations never reach memory.

    encode     a 16-bit product whose epilogue keeps the best few of each tile of latents, a certificate per row that nothing
               better was dropped, float32 scores of the candidates, an exact choice
               (_gpu_screen, _gpu_candidates, _gpu_choice, _gpu_threshold, _gpu_encode)
    decode     a weighted sum of rows; its gradients are dot products at the entries and sums by latent
               (_gpu_products, _gpu_segments)
    optimise   gradient, projection, Adam and norm of a latent in one pass
               (_gpu_rows)

float32, bfloat16 and float16 rows and weights, all sums in float32, the same bits for the same input (no atomics on floats).
Values are rounded to the type of the weights after the choice: with 16-bit weights, the choice is by the float32 values before.
Autocast changes nothing: the fast product is in 16 bits already, and what leaves is float32. What Triton does not take goes the
way of the torch kernels: tensors elsewhere, float64, an encoder whose latents do not lie together, k too large for tiles to pay.

Letters: B rows, D model width, F latents, n entries in all.
"""

from typing import ClassVar

import torch

from monoseme.kernels._contract import Encoder, Kernels
from monoseme.kernels._gpu_encode import Problem, entries_above, topk_entries
from monoseme.kernels._gpu_launch import runs_on
from monoseme.kernels._gpu_products import TritonProducts
from monoseme.kernels._gpu_rows import TritonRows
from monoseme.kernels._gpu_segments import MOST_COLUMNS
from monoseme.kernels._gpu_threshold import nth_largest
from monoseme.kernels._products import attach, decode_with
from monoseme.kernels._rows import RowUpdates
from monoseme.kernels.torch_fast import TorchKernels
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_TYPES = (torch.float32, torch.bfloat16, torch.float16)
_PRODUCTS = TritonProducts()
_TORCH = TorchKernels()


class TritonKernels(Kernels):
    """Sparse encode, decode, gradients and updates on a GPU."""

    name: ClassVar[str] = "triton"
    rows: RowUpdates | None = TritonRows()

    def encode_topk(
        self, x: Float[Tensor, "B D"], encoder: Encoder, k: int, *, among: Int[Tensor, " m"] | None = None
    ) -> SparseCodes:
        """Candidates of each row against its own k-th largest."""
        n_latents = encoder.weight.shape[1]
        problem = _problem(x, encoder, among=among) if _takes(x, encoder) else None
        k = min(k, n_latents if among is None else among.shape[0])
        found = topk_entries(problem, k) if problem is not None and k > 0 else None
        if problem is None or found is None:
            return _TORCH.encode_topk(_like_weight(x, encoder), encoder, k, among=among)
        latents = found.latents if among is None else among[found.latents]
        codes = SparseCodes.from_topk(latents, found.values.to(encoder.weight.dtype), n_latents)
        return attach(_PRODUCTS, x, problem.centred, encoder, codes)

    def encode_batch_topk(self, x: Float[Tensor, "B D"], encoder: Encoder, n: int) -> SparseCodes:
        """Candidates of all rows against the n-th largest of the batch."""
        problem = _problem(x, encoder) if _takes(x, encoder) else None
        n = min(n, x.shape[0] * encoder.weight.shape[1])
        codes = _batch_codes(problem, n) if problem is not None and n > 0 else None
        if problem is None or codes is None:
            return _TORCH.encode_batch_topk(_like_weight(x, encoder), encoder, n)
        return attach(_PRODUCTS, x, problem.centred, encoder, codes)

    def encode_threshold(
        self, x: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
    ) -> SparseCodes:
        """Candidates against the threshold, which is taken off the bias first."""
        problem = _problem(x, encoder, threshold=threshold) if _takes(x, encoder) else None
        codes = None if problem is None else _codes_above(problem, threshold)
        if problem is None or codes is None:
            return _TORCH.encode_threshold(_like_weight(x, encoder), encoder, threshold)
        return attach(_PRODUCTS, x, problem.centred, encoder, codes)

    def attach(self, x: Float[Tensor, "B D"], encoder: Encoder, codes: SparseCodes) -> SparseCodes:
        """Sparse gradients."""
        if not _takes(x, encoder):
            return _TORCH.attach(_like_weight(x, encoder), encoder, codes)
        return attach(_PRODUCTS, x, _problem(x, encoder).centred, encoder, codes)

    def decode(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """A weighted sum of the active rows of `weight`."""
        fits = runs_on(weight) and weight.dtype in _TYPES and codes.values.dtype in _TYPES and weight.shape[1] <= MOST_COLUMNS
        return decode_with(_PRODUCTS, codes, weight, bias) if fits else _TORCH.decode(codes, weight, bias)

    def topk(self, pre: Float[Tensor, "B F"], k: int) -> SparseCodes:
        """As the torch kernels: the matrix is in memory already."""
        return _TORCH.topk(pre, k)

    def batch_topk(self, pre: Float[Tensor, "B F"], n: int) -> SparseCodes:
        """As the torch kernels."""
        return _TORCH.batch_topk(pre, n)

    def threshold(self, pre: Float[Tensor, "B F"], threshold: Float[Tensor, ""] | Float[Tensor, " F"]) -> SparseCodes:
        """As the torch kernels."""
        return _TORCH.threshold(pre, threshold)


def _takes(x: Tensor, encoder: Encoder) -> bool:
    weight = encoder.weight
    typed = x.dtype in _TYPES and weight.dtype in _TYPES
    return typed and runs_on(x) and weight.t().is_contiguous() and x.numel() > 0 and weight.shape[0] <= MOST_COLUMNS


def _like_weight(x: Float[Tensor, "B D"], encoder: Encoder) -> Float[Tensor, "B D"]:
    """The torch kernels multiply like by like; what they take, they get as it is."""
    half = x.dtype in _TYPES and encoder.weight.dtype in _TYPES
    return x.to(encoder.weight.dtype) if half and x.dtype != encoder.weight.dtype else x


@torch.no_grad()
def _problem(x: Float[Tensor, "B D"], encoder: Encoder, *, among: Int[Tensor, " m"] | None = None,
             threshold: Tensor | None = None) -> Problem:  # fmt: skip
    weight, bias = encoder.weight, encoder.bias.detach().float()
    centred = x.detach() if encoder.centre is None else x - encoder.centre
    bias = bias if among is None else bias[among]
    shift = torch.zeros_like(bias) if threshold is None else threshold.detach().float().expand_as(bias)
    size = bias.abs() + shift.abs()
    return Problem(centred.to(weight.dtype).contiguous(), weight, bias.contiguous(), bias - shift, size, among)


def _batch_codes(problem: Problem, n: int) -> SparseCodes | None:
    n_rows = problem.centred.shape[0]
    found = entries_above(problem, lambda ends: nth_largest(ends.lower.view(-1), min(n, ends.lower.numel())), -(-n // n_rows))
    if found is None:
        return None
    values = found.values.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    cut = nth_largest(values, n)
    above, at = values > cut, values == cut
    keep = above | (at & (at.cumsum(0) <= n - above.sum()))
    return _codes(problem, found.rows[keep], found.latents[keep], found.values[keep])


def _codes_above(problem: Problem, threshold: Float[Tensor, ""] | Float[Tensor, " F"]) -> SparseCodes | None:
    found = entries_above(problem, lambda ends: ends.upper.new_zeros(()), None)
    if found is None:
        return None
    limits = threshold.detach().float()
    keep = found.values > (limits if limits.ndim == 0 else limits[found.latents])
    return _codes(problem, found.rows[keep], found.latents[keep], found.values[keep])


def _codes(problem: Problem, rows: Tensor, latents: Tensor, values: Tensor) -> SparseCodes:
    typed = values.to(problem.weight.dtype)
    return SparseCodes.from_rows(rows, latents, typed, n_rows=problem.centred.shape[0], n_latents=problem.n_latents)
