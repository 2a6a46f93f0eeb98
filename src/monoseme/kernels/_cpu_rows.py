"""The optimiser's step by rows as compiled loops: a latent's gradient is summed, projected and used while it is in the cache.

Nothing depends on the number of threads: a row is one thread's, and the norm is the sum of the rows' own in their order.
Letters: F latents, D model width, nnz entries.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import prange
from numpy.typing import NDArray

from monoseme.kernels._compiled import parallel, serial
from monoseme.kernels._cpu_plan import latent_order
from monoseme.kernels._cpu_products import CHUNK, NumbaProducts, add_weighted, chunk_weights, plain_values, suits_dense_here
from monoseme.kernels._rows import AdamRule, RowMatrix, RowUpdates, is_plain_matrix
from monoseme.kernels._threads import launch
from monoseme.tensors.factored import FactoredGrad
from monoseme.tensors.shapes import Float, Tensor

Array = NDArray[Any]

_TINY = np.float32(np.finfo(np.float32).tiny)


class _Numbers(NamedTuple):
    """A rule as float32, in the form the loops use; corrections worked out in float64."""

    rate: np.float32
    beta1: np.float32
    rest1: np.float32
    beta2: np.float32
    rest2: np.float32
    root: np.float32
    eps: np.float32
    decay: np.float32
    keep: np.float32
    scale: np.float32


class NumbaRows(RowUpdates):
    """Rows of float32 matrices on the CPU."""

    takes_two = True

    def __init__(self) -> None:
        self._products = NumbaProducts()

    def takes(self, weight: Float[Tensor, "F D"]) -> bool:
        """Those that lie in memory as the passes go through them."""
        return is_plain_matrix(weight)

    def gather(
        self, matrix: RowMatrix, factors: Sequence[FactoredGrad], out: Float[Tensor, "F D"], *, add: bool
    ) -> Float[Tensor, ""]:
        """One pass over `out` for each factor; the last takes the norms along."""
        squares = np.empty(matrix.weight.shape[0], np.float64)
        for factor in factors:
            self._gather_one(matrix, factor, out, squares, add=add)
            add = True
        return _total(squares)

    def step(
        self,
        matrix: RowMatrix,
        gradient: FactoredGrad | Float[Tensor, "F D"],
        rule: AdamRule,
        *,
        scale: float,
        also: FactoredGrad | None = None,
    ) -> Float[Tensor, ""]:
        """From factors, a row's gradient never leaves the cache; factors of very many entries are multiplied out first."""
        if isinstance(gradient, FactoredGrad):
            factors = [gradient] if also is None else [gradient, also]
            if any(suits_dense_here(factor.codes) for factor in factors):
                sums = [self._products.latent_sums(factor.codes, _plain(factor.rows)) for factor in factors]
                gradient = sums[0] if also is None else sums[0].add_(sums[1])
        squares = np.empty(matrix.weight.shape[0], np.float64)
        arrays, numbers = _arrays(matrix), _numbers(rule, scale)
        with launch():
            if isinstance(gradient, FactoredGrad):
                more = _no_entries(matrix) if also is None else _entries(also)
                _step_from_factors(_entries(gradient), more, arrays, numbers, matrix.unit, squares)
            else:
                _step_from_gradient(_plain(gradient).numpy(), arrays, numbers, matrix.unit, squares)
        return _total(squares)

    def _gather_one(self, matrix: RowMatrix, factor: FactoredGrad, out: Tensor, squares: Array, *, add: bool) -> None:
        if suits_dense_here(factor.codes):
            summed = self._products.latent_sums(factor.codes, _plain(factor.rows))
            if add:
                out.add_(summed)
            else:
                out.copy_(summed)
            with launch():
                _squares(out.numpy(), matrix.weight.detach().numpy(), matrix.unit, squares)
            return
        with launch():
            _gather(_entries(factor), matrix.weight.detach().numpy(), matrix.unit, out.numpy(), add, squares)


class _Entries(NamedTuple):
    """A factor as arrays: row s of the gradient sums values[order[p]] table[rows[p]] over p in starts[s]:starts[s + 1]."""

    table: Array
    values: Array
    starts: Array
    order: Array
    rows: Array


class _Arrays(NamedTuple):
    """A row matrix as arrays; the half copy has no rows where there is none."""

    weight: Array
    exp_avg: Array
    exp_avg_sq: Array
    half: Array
    half_norms: Array
    half_lost: Array


def _plain(rows: Tensor) -> Tensor:
    return rows.detach().to(torch.float32).contiguous()


def _entries(factor: FactoredGrad) -> _Entries:
    return _Entries(_plain(factor.rows).numpy(), plain_values(factor.codes), *latent_order(factor.codes))


def _no_entries(matrix: RowMatrix) -> _Entries:
    n_latents, width = matrix.weight.shape
    table, values, places = np.empty((0, width), np.float32), np.empty(0, np.float32), np.empty(0, np.int32)
    return _Entries(table, values, np.zeros(n_latents + 1, np.int64), places, places)


def _arrays(matrix: RowMatrix) -> _Arrays:
    dense = (matrix.weight.detach().numpy(), matrix.exp_avg.numpy(), matrix.exp_avg_sq.numpy())
    if matrix.half is None:
        return _Arrays(*dense, np.empty((0, matrix.weight.shape[1]), np.int16), np.empty(0, np.float32), np.empty(0, np.float32))
    rows, norms, lost = matrix.half
    return _Arrays(*dense, rows.view(torch.int16).numpy(), norms.numpy(), lost.numpy())


def _numbers(rule: AdamRule, scale: float) -> _Numbers:
    decoupled, coupled = (rule.weight_decay, 0.0) if rule.decoupled else (0.0, rule.weight_decay)
    return _Numbers(
        rate=np.float32(rule.lr / (1.0 - rule.beta1**rule.step)),
        beta1=np.float32(rule.beta1),
        rest1=np.float32(1.0 - rule.beta1),
        beta2=np.float32(rule.beta2),
        rest2=np.float32(1.0 - rule.beta2),
        root=np.float32(1.0 / math.sqrt(1.0 - rule.beta2**rule.step)),
        eps=np.float32(rule.eps),
        decay=np.float32(coupled),
        keep=np.float32(1.0 - rule.lr * decoupled),
        scale=np.float32(scale),
    )


def _total(squares: Array) -> Float[Tensor, ""]:
    return torch.tensor(float(squares.sum()), dtype=torch.float64)


@serial
def _project(gradient: Array, weight: Array, unit: bool) -> float:
    """Takes off the gradient what is parallel to a unit row; returns the squared norm of what is left."""
    if unit:
        along = np.float32(0.0)
        for i in range(gradient.shape[0]):
            along += gradient[i] * weight[i]
        for i in range(gradient.shape[0]):
            gradient[i] -= along * weight[i]
    square = np.float32(0.0)
    for i in range(gradient.shape[0]):
        square += gradient[i] * gradient[i]
    return np.float64(square)


@serial
def _adam(weight: Array, exp_avg: Array, exp_avg_sq: Array, gradient: Array, n: _Numbers) -> None:
    for i in range(weight.shape[0]):
        g = n.scale * gradient[i] + n.decay * weight[i]
        m = n.beta1 * exp_avg[i] + n.rest1 * g
        v = n.beta2 * exp_avg_sq[i] + n.rest2 * (g * g)
        exp_avg[i], exp_avg_sq[i] = m, v
        weight[i] = n.keep * weight[i] - n.rate * m / (np.sqrt(v) * n.root + n.eps)


@serial
def _make_unit(weight: Array) -> None:
    square = np.float32(0.0)
    for i in range(weight.shape[0]):
        square += weight[i] * weight[i]
    inverse = np.float32(1.0) / max(np.sqrt(square), _TINY)
    for i in range(weight.shape[0]):
        weight[i] *= inverse


@serial
def _halve(weight: Array, half: Array, wide: Array) -> tuple[np.float32, np.float32]:
    """Rounds a row to bfloat16, to nearest, ties to even; returns the norms of the rounded row and of what was lost.

    `wide` is room for the rounded row as bits of float32.
    """
    bits = weight.view(np.uint32)
    for i in range(bits.shape[0]):
        odd = np.uint32(bits[i] >> np.uint32(16)) & np.uint32(1)
        wide[i] = np.uint32(bits[i] + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)
        half[i] = np.int16(np.uint32(wide[i]) >> np.uint32(16))
    rounded = wide.view(np.float32)
    norm = lost = np.float32(0.0)
    for i in range(bits.shape[0]):
        gap = weight[i] - rounded[i]
        norm += rounded[i] * rounded[i]
        lost += gap * gap
    return np.sqrt(norm), np.sqrt(lost)


@serial
def _update(s: int, arrays: _Arrays, gradient: Array, wide: Array, numbers: _Numbers, unit: bool) -> float:
    """Everything that happens to row s once its gradient is summed; returns its squared norm."""
    weight = arrays.weight[s]
    square = _project(gradient, weight, unit)
    _adam(weight, arrays.exp_avg[s], arrays.exp_avg_sq[s], gradient, numbers)
    if unit:
        _make_unit(weight)
    if arrays.half.shape[0]:
        arrays.half_norms[s], arrays.half_lost[s] = _halve(weight, arrays.half[s], wide)
    return square


@parallel
def _step_from_factors(one: _Entries, two: _Entries, arrays: _Arrays, numbers: _Numbers, unit: bool, squares: Array) -> None:
    n_latents, width = arrays.weight.shape
    for chunk in prange((n_latents + CHUNK - 1) // CHUNK):
        low, high = chunk * CHUNK, min(n_latents, (chunk + 1) * CHUNK)
        first, second = one.starts[low], two.starts[low]
        weights, more = (
            chunk_weights(one.values, one.order, first, one.starts[high]),
            chunk_weights(two.values, two.order, second, two.starts[high]),
        )
        picks, others = one.rows[first : one.starts[high]], two.rows[second : two.starts[high]]
        gradient, wide = np.empty(width, np.float32), np.empty(width, np.uint32)
        for s in range(low, high):
            gradient[:] = 0.0
            add_weighted(gradient, one.table, picks, weights, one.starts[s] - first, one.starts[s + 1] - first)
            add_weighted(gradient, two.table, others, more, two.starts[s] - second, two.starts[s + 1] - second)
            squares[s] = _update(s, arrays, gradient, wide, numbers, unit)


@parallel
def _step_from_gradient(summed: Array, arrays: _Arrays, numbers: _Numbers, unit: bool, squares: Array) -> None:
    n_latents, width = arrays.weight.shape
    for chunk in prange((n_latents + CHUNK - 1) // CHUNK):
        gradient, wide = np.empty(width, np.float32), np.empty(width, np.uint32)
        for s in range(chunk * CHUNK, min(n_latents, (chunk + 1) * CHUNK)):
            gradient[:] = summed[s]
            squares[s] = _update(s, arrays, gradient, wide, numbers, unit)


@parallel
def _gather(entries: _Entries, weight: Array, unit: bool, out: Array, add: bool, squares: Array) -> None:
    n_latents, width = weight.shape
    for chunk in prange((n_latents + CHUNK - 1) // CHUNK):
        low, high = chunk * CHUNK, min(n_latents, (chunk + 1) * CHUNK)
        first, last = entries.starts[low], entries.starts[high]
        weights, picks = chunk_weights(entries.values, entries.order, first, last), entries.rows[first:last]
        gradient = np.empty(width, np.float32)
        for s in range(low, high):
            total = out[s]
            if not add:
                total[:] = 0.0
            add_weighted(total, entries.table, picks, weights, entries.starts[s] - first, entries.starts[s + 1] - first)
            gradient[:] = total
            squares[s] = _project(gradient, weight[s], unit)


@parallel
def _squares(summed: Array, weight: Array, unit: bool, squares: Array) -> None:
    n_latents, width = weight.shape
    for chunk in prange((n_latents + CHUNK - 1) // CHUNK):
        gradient = np.empty(width, np.float32)
        for s in range(chunk * CHUNK, min(n_latents, (chunk + 1) * CHUNK)):
            gradient[:] = summed[s]
            squares[s] = _project(gradient, weight[s], unit)
