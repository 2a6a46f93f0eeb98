"""The optimiser's step by rows in plain torch: some hundreds of latents at a time, so that every pass but the first finds its
numbers in the cache, and no gradient of the size of the weights is made.

Letters: F latents, f latents of a block, D model width.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn import functional
from torch.optim.adam import adam

from monoseme.kernels._half import refill
from monoseme.kernels._rows import AdamRule, RowMatrix, RowUpdates, is_plain_matrix
from monoseme.kernels._torch_products import TorchProducts, is_dense
from monoseme.tensors.factored import FactoredGrad
from monoseme.tensors.shapes import Float, Tensor

_BLOCK_ELEMENTS = 2**20
"""Of one matrix: 4 MB, and a step works on five of them."""

_PRODUCTS = TorchProducts()


class TorchRows(RowUpdates):
    """Rows of float32 matrices on the CPU; on other devices a whole gradient is no burden, and goes the dense way."""

    takes_two = True

    def takes(self, weight: Float[Tensor, "F D"]) -> bool:
        """Those that lie in memory as the passes go through them."""
        return is_plain_matrix(weight)

    @torch.no_grad()
    def gather(
        self, matrix: RowMatrix, factors: Sequence[FactoredGrad], out: Float[Tensor, "F D"], *, add: bool
    ) -> Float[Tensor, ""]:
        """Block by block, all factors of a block before the next."""
        sums = [_Sums(factor) for factor in factors]
        squares: list[Tensor] = []
        for block in _blocks(matrix.weight):
            part = out[block]
            for i, addend in enumerate(sums):
                if i or add:
                    part.add_(addend.of(block))
                else:
                    part.copy_(addend.of(block))
            squares.append(_squared(_projected(part, matrix, block) if matrix.unit else part))
        return torch.stack(squares).sum()

    @torch.no_grad()
    def step(
        self,
        matrix: RowMatrix,
        gradient: FactoredGrad | Float[Tensor, "F D"],
        rule: AdamRule,
        *,
        scale: float,
        also: FactoredGrad | None = None,
    ) -> Float[Tensor, ""]:
        """Block by block: gradient, projection, Adam, norm, half copy."""
        rows_of = _rows_of(gradient, also)
        squares: list[Tensor] = []
        for block in _blocks(matrix.weight):
            part = _projected(rows_of(block), matrix, block) if matrix.unit else rows_of(block)
            squares.append(_squared(part))
            _adam(matrix, block, part if scale == 1.0 else part * scale, rule)
        return torch.stack(squares).sum()


def _rows_of(gradient: FactoredGrad | Float[Tensor, "F D"], also: FactoredGrad | None) -> Callable[[slice], Float[Tensor, "f D"]]:
    """The gradient of a block of latents."""
    if not isinstance(gradient, FactoredGrad):
        return gradient.__getitem__
    one = _Sums(gradient).of
    if also is None:
        return one
    two = _Sums(also).of
    return lambda block: one(block) + two(block)


class _Sums:
    """A factor's sum, a block of latents at a time."""

    def __init__(self, factor: FactoredGrad) -> None:
        codes = factor.codes
        self._rows = factor.rows.detach().float()
        # Made in one product where so many latents are active that this is faster.
        self._whole = _PRODUCTS.latent_sums(codes, self._rows) if is_dense(codes) or codes.nnz == 0 else None
        self._plan = codes.by_latent
        self._weights = codes.values.detach()[self._plan.order].to(self._rows.dtype)
        self._n_entries = codes.nnz

    def of(self, block: slice) -> Float[Tensor, "f D"]:
        """The rows of the gradient."""
        if self._whole is not None:
            return self._whole[block]
        starts, picks = self._plan.starts, self._plan.rows
        first = int(starts[block.start])
        last = int(starts[block.stop]) if block.stop < starts.shape[0] else self._n_entries
        if first == last:
            return self._rows.new_zeros(block.stop - block.start, self._rows.shape[1])
        weights = self._weights[first:last]
        return functional.embedding_bag(
            picks[first:last], self._rows, starts[block] - first, mode="sum", per_sample_weights=weights
        )


def _blocks(weight: Float[Tensor, "F D"]) -> Iterator[slice]:
    n_latents, width = weight.shape
    n_rows = max(1, _BLOCK_ELEMENTS // width)
    return (slice(first, min(first + n_rows, n_latents)) for first in range(0, n_latents, n_rows))


def _projected(gradient: Float[Tensor, "f D"], matrix: RowMatrix, block: slice) -> Float[Tensor, "f D"]:
    """Without what is parallel to the unit rows."""
    rows = matrix.weight[block]
    return gradient.addcmul((gradient * rows).sum(1, keepdim=True), rows, value=-1)


def _squared(gradient: Tensor) -> Float[Tensor, ""]:
    return torch.linalg.vector_norm(gradient).double().square()


def _adam(matrix: RowMatrix, block: slice, gradient: Float[Tensor, "f D"], rule: AdamRule) -> None:
    """The update of one block, after projection, and what follows from it."""
    weight = matrix.weight[block]
    adam(
        [weight],
        [gradient],
        [matrix.exp_avg[block]],
        [matrix.exp_avg_sq[block]],
        [],
        [torch.tensor(rule.step - 1, dtype=torch.float32)],
        fused=True,
        amsgrad=False,
        beta1=rule.beta1,
        beta2=rule.beta2,
        lr=rule.lr,
        weight_decay=rule.weight_decay,
        eps=rule.eps,
        maximize=False,
        decoupled_weight_decay=rule.decoupled,
    )
    if matrix.unit:
        norms = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
        weight.div_(norms.clamp_min(torch.finfo(weight.dtype).tiny))
    if matrix.half is not None:
        refill(matrix.half, weight, block)
