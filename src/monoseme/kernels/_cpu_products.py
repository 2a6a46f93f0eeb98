"""The four sparse products as compiled loops over float32 on the CPU; anything else goes to torch.

Rows of weights are read in the order of the codes, four at a time: a step is bound by reading them, and at the sizes of SAEs they
come from the shared cache. Blocks of columns small enough for a core's own cache were measured and gained nothing; where rows
have hundreds of entries, tiles of rows and latents do (`_cpu_tiles`).

Letters: B rows, D model width, F latents, nnz entries in all.
"""

from typing import Any

import numpy as np
import torch
from numba import prange
from numpy.typing import NDArray

from monoseme.kernels._compiled import parallel, serial
from monoseme.kernels._cpu_plan import LatentOrder, latent_order
from monoseme.kernels._cpu_tiles import dots_at, tiles_pay
from monoseme.kernels._density import DenseProducts, Moves, suits_dense
from monoseme.kernels._measured import fastest
from monoseme.kernels._products import Products
from monoseme.kernels._screen_product import SCREEN_PRODUCTS, ScreenProduct
from monoseme.kernels._threads import launch
from monoseme.kernels._torch_products import TorchProducts
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes

Array = NDArray[Any]

CHUNK = 32
"""Latents that one thread takes at a time: their values are put in order, and scratch rows made, once for all."""
_DENSE_SHARE = 0.35
"""From this share of entries on dense products are faster. Measured at B 1024, D 512, F 4096, two threads: half as fast at 0.2,
as fast at 0.4, with MKL's float32 product; oneDNN's is faster, hence a little less."""


class NumbaProducts(Products):
    """Sparse products whose sums do not depend on the number of threads; dense ones where most latents are active."""

    def __init__(self) -> None:
        self._other = TorchProducts()
        self._dense = DenseProducts(Moves(_scatter, _pick), self, _fastest_product)

    def weighted_rows(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """Sums the rows of the weight in the order of the entries, from the bias on."""
        if not _are_plain(codes.values, weight):
            return self._other.weighted_rows(codes, weight, bias)
        if suits_dense_here(codes):
            return self._dense.weighted_rows(codes, weight, bias)
        out = weight.new_empty(codes.n_rows, weight.shape[1])
        begin = weight.new_zeros(weight.shape[1]) if bias is None else bias.contiguous()
        with launch():
            _sum_rows(
                _array(weight), codes.indices.numpy(), plain_values(codes), codes.offsets.numpy(), _array(begin), _array(out)
            )
        return out

    def dots(self, codes: SparseCodes, rows: Float[Tensor, "B D"], weight: Float[Tensor, "F D"]) -> Float[Tensor, " nnz"]:
        """Each by itself."""
        if not _are_plain(codes.values, rows, weight):
            return self._other.dots(codes, rows, weight)
        if suits_dense_here(codes):
            return self._dense.dots(codes, rows, weight)
        out = rows.new_empty(codes.nnz)
        if tiles_pay(codes.nnz, rows, codes.n_latents):
            bias = rows.new_zeros(codes.n_latents)
            dots_at(rows, weight, bias, offsets=codes.offsets, latents=codes.indices, out=out)
            return out
        with launch():
            _dots(_array(rows), _array(weight), codes.indices.numpy(), codes.offsets.numpy(), _array(out))
        return out

    def latent_sums(self, codes: SparseCodes, rows: Float[Tensor, "B D"]) -> Float[Tensor, "F D"]:
        """Goes by latent, through the entries in order of rows."""
        if not _are_plain(codes.values, rows):
            return self._other.latent_sums(codes, rows)
        if suits_dense_here(codes):
            return self._dense.latent_sums(codes, rows)
        out = rows.new_empty(codes.n_latents, rows.shape[1])
        sum_by_latent(codes, rows, out, add=False)
        return out

    def latent_totals(self, codes: SparseCodes) -> Float[Tensor, " F"]:
        """In row order, in float32."""
        if not _are_plain(codes.values):
            return self._other.latent_totals(codes)
        out = codes.values.new_zeros(codes.n_latents)
        _totals(codes.indices.numpy(), plain_values(codes), _array(out))
        return out


def _fastest_product() -> ScreenProduct:
    return SCREEN_PRODUCTS[fastest().float32]


def suits_dense_here(codes: SparseCodes) -> bool:
    """Whether dense products are faster than these loops."""
    return suits_dense(codes, share=_DENSE_SHARE)


def sum_by_latent(codes: SparseCodes, rows: Float[Tensor, "B D"], out: Float[Tensor, "F D"], *, add: bool) -> None:
    """codes^T @ rows, written into `out` or added to it; float32, contiguous, on the CPU."""
    plan = latent_order(codes)
    with launch():
        _sum_by_latent(_array(rows), plain_values(codes), plan, _array(out), add)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def plain_values(codes: SparseCodes) -> Array:
    """The values as the loops read them."""
    return codes.values.detach().to(torch.float32).contiguous().numpy()


def _are_plain(values: Tensor, *matrices: Tensor) -> bool:
    """What the loops can take: float32 on the CPU; the values are made contiguous, as they are few."""
    tensors = (values, *matrices)
    return all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors) and all(t.is_contiguous() for t in matrices)


def _scatter(codes: SparseCodes, first: int, part: Float[Tensor, "b F"]) -> None:
    with launch():
        _scatter_rows(codes.indices.numpy(), plain_values(codes), codes.offsets.numpy(), first, _array(part))


def _pick(codes: SparseCodes, first: int, part: Float[Tensor, "b F"], out: Float[Tensor, " nnz"]) -> None:
    with launch():
        _pick_rows(codes.indices.numpy(), codes.offsets.numpy(), first, _array(part), _array(out))


@serial
def add_weighted(total: Array, table: Array, picks: Array, weights: Array, first: int, last: int) -> None:
    """total += the sum of weights[p] table[picks[p]] over p from first to last, in fours; weights that are zero are left out.

    A JumpReLU's codes hold many: entries below their threshold, which have a gradient all the same.
    """
    p = _not_zero(weights, first, last)
    while p < last:
        q = _not_zero(weights, p + 1, last)
        r = _not_zero(weights, q + 1, last)
        z = _not_zero(weights, r + 1, last)
        if z >= last:
            break
        a, b, c, d = table[picks[p]], table[picks[q]], table[picks[r]], table[picks[z]]
        s, t, u, v = weights[p], weights[q], weights[r], weights[z]
        for i in range(total.shape[0]):
            total[i] += (s * a[i] + t * b[i]) + (u * c[i] + v * d[i])
        p = _not_zero(weights, z + 1, last)
    while p < last:
        a, s = table[picks[p]], weights[p]
        for i in range(total.shape[0]):
            total[i] += s * a[i]
        p = _not_zero(weights, p + 1, last)


@serial
def _not_zero(weights: Array, p: int, last: int) -> int:
    """The first place from p on whose weight is not zero; `last` or beyond if there is none."""
    while p < last and weights[p] == 0.0:
        p += 1
    return p


@parallel
def _sum_rows(table: Array, picks: Array, weights: Array, starts: Array, begin: Array, out: Array) -> None:
    for row in prange(out.shape[0]):
        total = out[row]
        total[:] = begin
        add_weighted(total, table, picks, weights, starts[row], starts[row + 1])


@serial
def chunk_weights(values: Array, order: Array, first: int, last: int) -> Array:
    """The values at the entries first to last of the order by latent."""
    weights = np.empty(last - first, np.float32)
    for p in range(last - first):
        weights[p] = values[order[first + p]]
    return weights


@parallel
def _sum_by_latent(table: Array, values: Array, plan: LatentOrder, out: Array, add: bool) -> None:
    n_latents = out.shape[0]
    for chunk in prange((n_latents + CHUNK - 1) // CHUNK):
        low, high = chunk * CHUNK, min(n_latents, (chunk + 1) * CHUNK)
        first = plan.starts[low]
        weights, picks = chunk_weights(values, plan.order, first, plan.starts[high]), plan.rows[first : plan.starts[high]]
        for s in range(low, high):
            total = out[s]
            if not add:
                total[:] = 0.0
            add_weighted(total, table, picks, weights, plan.starts[s] - first, plan.starts[s + 1] - first)


@serial
def _four_dots(row: Array, weight: Array, latents: Array, p: int, out: Array) -> None:
    a, b, c, d = weight[latents[p]], weight[latents[p + 1]], weight[latents[p + 2]], weight[latents[p + 3]]
    s = t = u = v = np.float32(0.0)
    for i in range(row.shape[0]):
        x = row[i]
        s += x * a[i]
        t += x * b[i]
        u += x * c[i]
        v += x * d[i]
    out[p], out[p + 1], out[p + 2], out[p + 3] = s, t, u, v


@serial
def one_dot(a: Array, b: Array) -> np.float32:
    """The sum of products of two rows, float32."""
    total = np.float32(0.0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@parallel
def _dots(rows: Array, weight: Array, latents: Array, offsets: Array, out: Array) -> None:
    for r in prange(rows.shape[0]):
        p, last = offsets[r], offsets[r + 1]
        while p + 3 < last:
            _four_dots(rows[r], weight, latents, p, out)
            p += 4
        while p < last:
            out[p] = one_dot(rows[r], weight[latents[p]])
            p += 1


@serial
def _totals(latents: Array, values: Array, out: Array) -> None:
    for p in range(latents.shape[0]):
        out[latents[p]] += values[p]


@parallel
def _scatter_rows(latents: Array, values: Array, offsets: Array, first: int, part: Array) -> None:
    for r in prange(part.shape[0]):
        row = part[r]
        row[:] = 0.0
        for p in range(offsets[first + r], offsets[first + r + 1]):
            row[latents[p]] = values[p]


@parallel
def _pick_rows(latents: Array, offsets: Array, first: int, part: Array, out: Array) -> None:
    for r in prange(part.shape[0]):
        for p in range(offsets[first + r], offsets[first + r + 1]):
            out[p] = part[r, latents[p]]
