"""Rows in the type of a fast product, with the lengths that bound what their rounding does to a dot product.

For each row w, a program walks its columns once, in blocks held in registers, and writes v = w rounded, |v| and |w - v|. Rows
that are of that type already are only measured. Traffic: a float32 weight is read once (4 bytes) and written once (2), where
torch operations take eight passes; the optimiser's pass over the rows (`_gpu_rows`) writes the copy itself, for 2 bytes.

Letters: n rows, D width, F latents.
"""

# pyright: reportInvalidTypeForm=false, reportMissingParameterType=false
import torch
import triton
import triton.language as tl

from monoseme.kernels._gpu_launch import kernel, launch
from monoseme.kernels._half import HalfCopy, keep_half_copy, known_half_copy
from monoseme.tensors.notes import note, noted
from monoseme.tensors.shapes import Float, Tensor

_ROWS, _BLOCK = 8, 256
"""Rows of a program, and columns held at once: 16 numbers per thread of 4 warps, in loads of 16 bytes."""
_NORMS = "norms of rows"


def rounded(rows: Float[Tensor, "n D"], dtype: torch.dtype) -> HalfCopy:
    """`rows`, contiguous, in `dtype`; itself where it is of that type."""
    n, width = rows.shape
    with torch.inference_mode(False):
        copy = rows if rows.dtype == dtype else torch.empty(n, width, dtype=dtype, device=rows.device)
        norms, lost = (torch.empty(n, dtype=torch.float32, device=rows.device) for _ in range(2))
    writes = copy is not rows
    launch(_round, triton.cdiv(n, _ROWS), rows, copy, norms, lost, n, width, ROWS=_ROWS, BLOCK=_BLOCK, WRITES=writes)
    return HalfCopy(copy, norms, lost)


def rounded_latents(weight: Float[Tensor, "D F"]) -> HalfCopy:
    """An encoder's latents in 16 bits, bfloat16 for float32; noted on the weight, so that it is made once per value of it."""
    if weight.dtype == torch.float32:
        known = known_half_copy(weight)
        if known is None:
            known = rounded(weight.detach().t(), torch.bfloat16)
            keep_half_copy(weight, known)
        return known
    known = noted(weight, _NORMS)
    if known is None:
        _, *known = rounded(weight.detach().t(), weight.dtype)
        note(weight, _NORMS, known)
    return HalfCopy(weight.detach().t(), *known)


@kernel
def _round(rows, copy, norms, lost, n_rows, width, ROWS: tl.constexpr, BLOCK: tl.constexpr, WRITES: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    squares = tl.full((ROWS, BLOCK), 0.0, tl.float32)
    errors = tl.full((ROWS, BLOCK), 0.0, tl.float32)
    real = (row < n_rows)[:, None]
    for start in range(0, width, BLOCK):
        column = start + tl.arange(0, BLOCK)[None, :]
        inside = real & (column < width)
        w = tl.load(rows + row[:, None] * width + column, mask=inside, other=0.0)
        v = w.to(copy.dtype.element_ty)
        if WRITES:
            tl.store(copy + row[:, None] * width + column, v, mask=inside)
        error = w.to(tl.float32) - v.to(tl.float32)
        squares += v.to(tl.float32) * v.to(tl.float32)
        errors += error * error
    tl.store(norms + row, tl.sqrt(tl.sum(squares, 1)), mask=row < n_rows)
    tl.store(lost + row, tl.sqrt(tl.sum(errors, 1)), mask=row < n_rows)
