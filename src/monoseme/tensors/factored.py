"""Gradients handed over as factors (codes, rows) on the parameter, instead of a dense `.grad`.

A sparse product's weight gradient is `codes^T @ rows`: rank at most B, and touching only the latents that were active. An
optimiser that consumes the factors in one pass by latent never needs the [F, D] matrix. Whoever asks for factors (see
`emit_factors`) must take them: they are no part of `.grad`, so `zero_grad` does not clear them.
"""

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import NamedTuple, cast

import torch

from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_ATTRIBUTE = "_monoseme_factors"
_EMIT: ContextVar[bool] = ContextVar("monoseme_emit_factors", default=False)


class FactoredGrad(NamedTuple):
    """One addend of a parameter's gradient: `codes^T @ rows`, of shape [F, D].

    `transposed` says that the parameter is [D, F] (an encoder), so that the addend is the transpose.
    """

    codes: SparseCodes
    rows: Float[Tensor, "B D"]
    transposed: bool = False

    def dense(self) -> Tensor:
        """In the shape of the parameter; reductions in the dtype of `rows`."""
        grad = latent_sums(self.codes, self.rows)
        return grad.t() if self.transposed else grad


def latent_sums(codes: SparseCodes, rows: Float[Tensor, "B D"]) -> Float[Tensor, "F D"]:
    """codes^T @ rows: for each latent, the rows in which it is active, weighted by its value there.

    Entries of one latent are added in row order, so the result has the same bits for the same input (no atomics).
    """
    plan = codes.by_latent
    if codes.nnz == 0:
        return rows.new_zeros(codes.n_latents, rows.shape[1])
    weights = codes.values.detach()[plan.order].to(rows.dtype)
    return torch.nn.functional.embedding_bag(plan.rows, rows, plan.starts, mode="sum", per_sample_weights=weights)


@contextlib.contextmanager
def emit_factors() -> Iterator[None]:
    """Sparse products whose forward runs in this block hand their weight gradients over as factors."""
    token = _EMIT.set(True)
    try:
        yield
    finally:
        _EMIT.reset(token)


def emits_factors() -> bool:
    """Whether `emit_factors` is on. Asked in the forward: backward may run in another thread."""
    return _EMIT.get()


def add_factor(parameter: Tensor, factor: FactoredGrad) -> None:
    """Adds one addend to those waiting on `parameter`."""
    waiting = cast(list[FactoredGrad], getattr(parameter, _ATTRIBUTE, []))
    setattr(parameter, _ATTRIBUTE, [*waiting, factor])


def take_factors(parameter: Tensor) -> list[FactoredGrad]:
    """The addends waiting on `parameter`, which then has none."""
    waiting = cast(list[FactoredGrad], getattr(parameter, _ATTRIBUTE, []))
    setattr(parameter, _ATTRIBUTE, [])
    return waiting


@torch.no_grad()
def materialise_factors(parameters: Iterable[Tensor]) -> None:
    """Adds what waits on each parameter to its `.grad`, for an optimiser that knows no factors."""
    for parameter in parameters:
        for factor in take_factors(parameter):
            grad = factor.dense()
            parameter.grad = grad if parameter.grad is None else parameter.grad.add_(grad)
