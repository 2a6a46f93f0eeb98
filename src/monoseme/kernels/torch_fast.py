"""Fast kernels in plain torch: one dense product for the pre-activations, then only the selected entries are touched.

Float32 on a CPU that multiplies bfloat16 fast is screened: a bfloat16 product proposes candidates, which are scored again in
float32 (`_torch_screen`, `_torch_candidates`, `_torch_exact`). All else takes one dense product in its own precision.

Letters: B rows, D model width, F latents, K entries per row, nnz entries in all.

Backward sums each latent's rows in (latent, row) order, so gradients have the same bits for the same input.
Source: reasoning and measurements of Gao et al. 2024 (arXiv:2406.04093, appendix D, sparse kernels).
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch.nn import functional

from monoseme.kernels._contract import Encoder, Kernels
from monoseme.kernels._measured import fastest
from monoseme.kernels._products import attach, centred_rows, decode_with
from monoseme.kernels._rows import RowUpdates
from monoseme.kernels._selection import Chosen, batch_topk_chosen, topk_latents
from monoseme.kernels._torch_exact import (
    Best,
    batch_topk_pays,
    screened_above,
    screened_batch_topk,
    screened_topk,
    topk_pays,
)
from monoseme.kernels._torch_products import TorchProducts
from monoseme.kernels._torch_rows import TorchRows
from monoseme.kernels.reference import at_flat
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_CHUNK_ELEMENTS = 2**22
"""Pre-activations made at once where rows are independent: 16 MB of float32, below the size at which glibc maps fresh pages."""
_CHUNK_ROWS = 256
"""Never fewer rows than this: the weights are read once per chunk."""
_ONEDNN_WORK = 2**24
"""Products with fewer multiplications than this are not worth the packing."""
_SCREEN_WORK = 2**28
"""Products with fewer are faster than what a screen adds to them."""


class TorchKernels(Kernels):
    """Sparse decode and sparse gradients on any device torch has."""

    name: ClassVar[str] = "torch"
    rows: RowUpdates | None = TorchRows()

    def encode_topk(
        self, x: Float[Tensor, "B D"], encoder: Encoder, k: int, *, among: Int[Tensor, " m"] | None = None
    ) -> SparseCodes:
        """One product and an exact selection per chunk of rows."""
        n_latents = encoder.weight.shape[1]
        centred = centred_rows(x, encoder)
        if topk_pays(n_latents if among is None else among.shape[0], k) and _suits_screen(centred, encoder.weight):
            best = screened_topk(centred, encoder, k, plain=lambda rows, n: _best(rows, encoder, n, among).latents, among=among)
        else:
            best = _best(centred, encoder, k, among)
        codes = SparseCodes.from_topk(best.latents, best.values, n_latents)
        return attach(_PRODUCTS, x, centred, encoder, codes)

    def encode_batch_topk(self, x: Float[Tensor, "B D"], encoder: Encoder, n: int) -> SparseCodes:
        """One product over all rows: the cut is theirs together."""
        centred = centred_rows(x, encoder)
        n_rows, n_latents = x.shape[0], encoder.weight.shape[1]
        chosen = None
        if batch_topk_pays(n_rows, n_latents, n) and _suits_screen(centred, encoder.weight):
            chosen = screened_batch_topk(centred, encoder, n)
        if chosen is None:
            chosen = batch_topk_chosen(list(_pre_activations(centred, encoder)), n)
        return attach(_PRODUCTS, x, centred, encoder, _codes_of(chosen, n_rows, n_latents))

    def encode_threshold(
        self, x: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
    ) -> SparseCodes:
        """One product and one comparison per chunk of rows."""
        centred = centred_rows(x, encoder)
        if _suits_screen(centred, encoder.weight):
            chosen = screened_above(centred, encoder, threshold.detach())
            if chosen is not None:
                return attach(_PRODUCTS, x, centred, encoder, _codes_of(chosen, x.shape[0], encoder.weight.shape[1]))
        parts = [self.threshold(pre, threshold.detach()) for pre in _pre_activations(centred, encoder)]
        return attach(_PRODUCTS, x, centred, encoder, SparseCodes.cat(parts))

    def attach(self, x: Float[Tensor, "B D"], encoder: Encoder, codes: SparseCodes) -> SparseCodes:
        """Sparse gradients."""
        return attach(_PRODUCTS, x, centred_rows(x, encoder), encoder, codes)

    def decode(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """A weighted sum of the active rows of `weight`."""
        return decode_with(_PRODUCTS, codes, weight, bias)

    def topk(self, pre: Float[Tensor, "B F"], k: int) -> SparseCodes:
        """Block maxima, then the few blocks that matter."""
        latents = topk_latents(pre.detach(), k)
        return SparseCodes.from_topk(latents, pre.gather(1, latents), pre.shape[1])

    def batch_topk(self, pre: Float[Tensor, "B F"], n: int) -> SparseCodes:
        """Block maxima give a floor, the entries above it are cut exactly."""
        return at_flat(pre, batch_topk_chosen([pre.detach()], n).flat)

    def threshold(self, pre: Float[Tensor, "B F"], threshold: Float[Tensor, ""] | Float[Tensor, " F"]) -> SparseCodes:
        """A comparison."""
        return at_flat(pre, (pre.detach() > threshold).reshape(-1).nonzero().squeeze(1))


def _best(centred: Float[Tensor, "B D"], encoder: Encoder, k: int, among: Int[Tensor, " m"] | None) -> Best:
    """The k largest entries of each row of the dense product."""
    found: list[Best] = []
    for pre in _pre_activations(centred, encoder, among):
        chosen = topk_latents(pre, k)
        found.append(Best(chosen if among is None else among[chosen], pre.gather(1, chosen)))
    return Best(torch.cat([best.latents for best in found]), torch.cat([best.values for best in found]))


def _codes_of(chosen: Chosen, n_rows: int, n_latents: int) -> SparseCodes:
    rows, latents = chosen.flat // n_latents, chosen.flat % n_latents
    return SparseCodes.from_rows(rows, latents, chosen.values, n_rows=n_rows, n_latents=n_latents)


def _pre_activations(
    centred: Float[Tensor, "B D"], encoder: Encoder, among: Int[Tensor, " m"] | None = None
) -> Iterator[Float[Tensor, "b f"]]:
    """The dense product, some rows at a time; under autocast in the lower precision, but handed on in the weight's."""
    weight, bias = encoder.weight.detach(), encoder.bias.detach()
    if among is not None:
        weight, bias = weight.t().index_select(0, among).t(), bias.index_select(0, among)
    chunks = centred.split(max(_CHUNK_ROWS, _CHUNK_ELEMENTS // weight.shape[1]))
    if _suits_onednn(centred, weight):
        # The public way to oneDNN's product, where that is the faster one (on AMD, MKL's takes 1.5 times as long).
        packed, shift = weight.t().to_mkldnn(), bias.to_mkldnn()
        for rows in chunks:
            yield functional.linear(rows.to_mkldnn(), packed, shift).to_dense()
    else:
        for rows in chunks:
            yield torch.addmm(bias, rows, weight).to(weight.dtype)


def _suits_onednn(centred: Tensor, weight: Tensor) -> bool:
    large = centred.shape[0] * weight.numel() >= _ONEDNN_WORK
    return large and _is_plain(centred, weight) and fastest().float32 == "onednn" and torch.backends.mkldnn.is_available()


def _suits_screen(centred: Tensor, weight: Tensor) -> bool:
    if centred.shape[0] * weight.numel() < _SCREEN_WORK or not _is_plain(centred, weight):
        return False
    # A weight made in inference mode has no version, by which its bfloat16 copy is known to hold.
    return weight.t().is_contiguous() and not weight.is_inference() and fastest().screen == "bf16"


def _is_plain(centred: Tensor, weight: Tensor) -> bool:
    on_cpu = centred.device.type == weight.device.type == "cpu"
    return on_cpu and centred.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


_PRODUCTS = TorchProducts()
