"""The optimiser's step by rows: a latent's gradient, projection, Adam and norm in one pass over its weights.

The formulas are those of `monoseme.kernels._rows`. One program per latent holds its weights, gradient and both moments in
registers: it adds up the latent's segment of the factors, or reads the gradient that lies ready, takes the two dot products and
the norm within the program, and writes weight, moments and, where there is one, the 16-bit copy once.

Traffic: 24 bytes per weight (three arrays in, three out) and 2 for the copy, the rows of the factors, and 4 more per weight
where a gradient lies ready.
Letters: F latents, D width.
"""

# pyright: reportInvalidTypeForm=false, reportMissingParameterType=false
from collections.abc import Sequence

import torch
import triton.language as tl

from monoseme.kernels._gpu_launch import kernel, launch, runs_on
from monoseme.kernels._gpu_segments import MOST_COLUMNS, RUN, row_shape, segment_sum, segments
from monoseme.kernels._rows import AdamRule, RowMatrix, RowUpdates
from monoseme.tensors.factored import FactoredGrad
from monoseme.tensors.shapes import Float, Tensor


class TritonRows(RowUpdates):
    """Updates of float32 matrices whose rows fit into the registers of a program."""

    def takes(self, weight: Float[Tensor, "F D"]) -> bool:
        """Contiguous float32 on a device that kernels run on."""
        fits = weight.dtype == torch.float32 and weight.is_contiguous() and 0 < weight.shape[1] <= MOST_COLUMNS
        return fits and runs_on(weight)

    def gather(
        self, matrix: RowMatrix, factors: Sequence[FactoredGrad], out: Float[Tensor, "F D"], *, add: bool
    ) -> Float[Tensor, ""]:
        """One pass per factor; norms of rows in float32, their sum in float64."""
        n_latents, width = out.shape
        squares = torch.empty(n_latents, dtype=torch.float32, device=out.device)
        for i, factor in enumerate(factors):
            launch(
                _gather, n_latents, matrix.weight, out, *segments(factor.codes, factor.rows), squares,
                n_latents, factor.codes.nnz, width, UNIT=matrix.unit, ADD=add or i > 0, RUN=RUN, **row_shape(width),
            )  # fmt: skip
        return squares.sum(dtype=torch.float64)

    def step(
        self,
        matrix: RowMatrix,
        gradient: FactoredGrad | Float[Tensor, "F D"],
        rule: AdamRule,
        *,
        scale: float,
        also: FactoredGrad | None = None,  # noqa: ARG002  not `takes_two`
    ) -> Float[Tensor, ""]:
        """A program per latent; norms of rows in float32, their sum in float64."""
        n_latents, width = matrix.weight.shape
        squares = torch.empty(n_latents, dtype=torch.float32, device=matrix.weight.device)
        if isinstance(gradient, FactoredGrad):
            parts, ready, n_entries = segments(gradient.codes, gradient.rows), None, gradient.codes.nnz
        else:
            parts, ready, n_entries = (None,) * 5, gradient.contiguous(), 0
        half = (None,) * 3 if matrix.half is None else matrix.half
        launch(
            _step, n_latents, *matrix[:3], *half, ready, *parts, squares, n_latents, n_entries, width,
            *_numbers(rule, scale), UNIT=matrix.unit, DECOUPLED=rule.decoupled, RUN=RUN, **row_shape(width),
        )  # fmt: skip
        return squares.sum(dtype=torch.float64)


def _numbers(rule: AdamRule, scale: float) -> tuple[float, ...]:
    """Scalars of a step; what depends on the count of steps is worked out here, in float64."""
    rate = rule.lr / (1.0 - rule.beta1**rule.step)
    root = (1.0 - rule.beta2**rule.step) ** -0.5
    return rate, root, rule.beta1, rule.beta2, rule.eps, scale, rule.weight_decay, rule.lr * rule.weight_decay


@kernel
def _projected(g, w, UNIT: tl.constexpr):
    """g, less what is along w where rows are kept at unit norm."""
    return g - tl.sum(g * w, 0) * w if UNIT else g


@kernel
def _gather(weight, out, weights, entry_rows, starts, rows, runs, squares, n_latents, n_entries, width,
            UNIT: tl.constexpr, ADD: tl.constexpr, RUN: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    latent, column = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    place, inside = latent * width + column, column < width
    g = segment_sum(latent, weights, entry_rows, starts, rows, runs, n_latents, n_entries, width, column, RUN, BLOCK)
    if ADD:
        g += tl.load(out + place, mask=inside, other=0.0)
    tl.store(out + place, g, mask=inside)
    g = _projected(g, tl.load(weight + place, mask=inside, other=0.0), UNIT)
    tl.store(squares + latent, tl.sum(g * g, 0))


@kernel
def _adam(w, g, m, v, rate, root, beta1, beta2, eps, decay, shrink, DECOUPLED: tl.constexpr):
    """Weight and moments after a step."""
    if DECOUPLED:
        w = w - shrink * w
    else:
        g = g + decay * w
    m = beta1 * m + (1.0 - beta1) * g
    v = beta2 * v + (1.0 - beta2) * g * g
    return w - rate * m / (tl.sqrt(v) * root + eps), m, v


@kernel
def _step(weight, exp_avg, exp_avg_sq, half, half_norms, half_lost, ready, weights, entry_rows, starts, rows, runs, squares,
          n_latents, n_entries, width, rate, root, beta1, beta2, eps, scale, decay, shrink,
          UNIT: tl.constexpr, DECOUPLED: tl.constexpr, RUN: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    latent, column = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    place, inside = latent * width + column, column < width
    w = tl.load(weight + place, mask=inside, other=0.0)
    if ready is None:
        g = segment_sum(latent, weights, entry_rows, starts, rows, runs, n_latents, n_entries, width, column, RUN, BLOCK)
    else:
        g = tl.load(ready + place, mask=inside, other=0.0)
    g = _projected(g, w, UNIT)
    tl.store(squares + latent, tl.sum(g * g, 0))
    m = tl.load(exp_avg + place, mask=inside, other=0.0)
    v = tl.load(exp_avg_sq + place, mask=inside, other=0.0)
    w, m, v = _adam(w, scale * g, m, v, rate, root, beta1, beta2, eps, decay, shrink, DECOUPLED)
    if UNIT:
        norm = tl.sqrt(tl.sum(w * w, 0))
        w = w / tl.where(norm > 0.0, norm, 1.0)
    tl.store(weight + place, w, mask=inside)
    tl.store(exp_avg + place, m, mask=inside)
    tl.store(exp_avg_sq + place, v, mask=inside)
    if half is not None:
        _write_half(half, half_norms, half_lost, latent, place, inside, w)


@kernel
def _write_half(half, norms, lost, latent, place, inside, w):
    """The 16-bit copy of a row, its norm and what its rounding lost."""
    v = w.to(half.dtype.element_ty)
    tl.store(half + place, v, mask=inside)
    wide = v.to(tl.float32)
    tl.store(norms + latent, tl.sqrt(tl.sum(wide * wide, 0)))
    tl.store(lost + latent, tl.sqrt(tl.sum((w - wide) * (w - wide), 0)))
