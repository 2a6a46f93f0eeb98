"""Decode, its gradient and scoring again: sums and dot products over the entries of sparse codes.

    weighted_rows   x_hat[r] = sum over the entries (r, f, v) of row r, in their order, of v w[f], + bias
    dots            a[r].w[f] for each entry (r, f)

`weighted_rows`: a program holds up to 1,024 columns of one row of the result in registers and adds rows of w to it, four in
flight. `dots`: a program takes 16 entries, 128 columns at a time: products go into a [16, 128] accumulator, 16 registers of 128
threads, which is summed over columns once, at the end. The order of additions depends on the width alone, so that the value of
an entry is the same whichever screen proposed it, and in the forward of every selector.

Traffic: 4 D bytes of w per entry in either (2 D in 16 bits), from the second-level cache where w fits into it; a[r] is read by
the programs of one row and comes from the first-level cache. Both take any float type and add in float32.

Letters: B rows, D width, F latents, nnz entries in all.
"""

# pyright: reportInvalidTypeForm=false, reportMissingParameterType=false, reportGeneralTypeIssues=false
import torch
import triton
import triton.language as tl

from monoseme.kernels import _gpu_segments as segments
from monoseme.kernels._gpu_launch import kernel, launch
from monoseme.kernels._products import Products
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_COLUMNS = 1024
"""Of a row of the result in one program: 8 per thread of 4 warps."""
_ENTRIES = 16
"""Entries of one program of `dots`: enough loads in flight to cover the latency of the cache."""
_STRIDE = 128
"""Columns that `dots` reads at once; part of the order of additions, so one constant for all uses."""


class TritonProducts(Products):
    """For tensors that Triton's kernels can read; see `monoseme.kernels.gpu`."""

    def weighted_rows(
        self, codes: SparseCodes, weight: Float[Tensor, "F D"], bias: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, "B D"]:
        """A program per row of the result."""
        width = weight.shape[1]
        x_hat = weight.new_empty(codes.n_rows, width)
        block = min(_COLUMNS, max(16, triton.next_power_of_2(width)))
        launch(
            _weighted_rows, (codes.n_rows, triton.cdiv(width, block)),
            codes.values, codes.indices, codes.offsets, weight.contiguous(), bias, x_hat, width, BLOCK=block,
        )  # fmt: skip
        return x_hat

    def dots(self, codes: SparseCodes, rows: Float[Tensor, "B D"], weight: Float[Tensor, "F D"]) -> Float[Tensor, " nnz"]:
        """A program per 16 entries."""
        fixed = codes.fixed_k
        entry_rows = codes.rows() if fixed is None else None
        return entry_dots(codes.indices, rows, weight, entry_rows=entry_rows, per_row=fixed or 1).to(codes.values.dtype)

    def latent_sums(self, codes: SparseCodes, rows: Float[Tensor, "B D"]) -> Float[Tensor, "F D"]:
        """By segments; see `monoseme.kernels._gpu_segments`."""
        sums = rows.new_empty(codes.n_latents, rows.shape[1])
        segments.latent_sums(codes, rows, sums)
        return sums

    def latent_totals(self, codes: SparseCodes) -> Float[Tensor, " F"]:
        """By segments."""
        totals = codes.values.new_empty(codes.n_latents)
        segments.latent_totals(codes, totals)
        return totals


def entry_dots(latents: Int[Tensor, " nnz"], rows: Float[Tensor, "B D"], weight: Float[Tensor, "F D"], *,
               entry_rows: Int[Tensor, " nnz"] | None = None, per_row: int = 1) -> Float[Tensor, " nnz"]:  # fmt: skip
    """float32 products of entries given by their rows, or by a number for every row; nothing is written for latents of -1."""
    n_entries = latents.shape[0]
    products = torch.empty(n_entries, dtype=torch.float32, device=rows.device)
    launch(
        _dots, triton.cdiv(n_entries, _ENTRIES),
        rows.contiguous(), weight.contiguous(), latents, entry_rows, products, n_entries, per_row, rows.shape[1],
        ENTRIES=_ENTRIES, STRIDE=_STRIDE,
    )  # fmt: skip
    return products


@kernel
def _weighted_rows(values, latents, offsets, weight, bias, x_hat, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    total = tl.full((BLOCK,), 0.0, tl.float32)
    for entry in tl.range(tl.load(offsets + row), tl.load(offsets + row + 1), loop_unroll_factor=4):
        latent = tl.load(latents + entry).to(tl.int64)
        w = tl.load(weight + latent * width + column, mask=inside, other=0.0)
        total += tl.load(values + entry).to(tl.float32) * w.to(tl.float32)
    if bias is not None:
        total += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(x_hat + row * width + column, total, mask=inside)


@kernel
def _dots(rows, weight, latents, entry_rows, products, n_entries, per_row, width,
          ENTRIES: tl.constexpr, STRIDE: tl.constexpr):  # fmt: skip
    entry = tl.program_id(0).to(tl.int64) * ENTRIES + tl.arange(0, ENTRIES)
    latent = tl.load(latents + entry, mask=entry < n_entries, other=-1).to(tl.int64)
    real = latent >= 0
    if entry_rows is None:
        row = entry // per_row
    else:
        row = tl.load(entry_rows + entry, mask=real, other=0).to(tl.int64)
    total = tl.full((ENTRIES, STRIDE), 0.0, tl.float32)
    for start in range(0, width, STRIDE):
        column = start + tl.arange(0, STRIDE)[None, :]
        wanted = real[:, None] & (column < width)
        left = tl.load(rows + row[:, None] * width + column, mask=wanted, other=0.0).to(tl.float32)
        right = tl.load(weight + latent[:, None] * width + column, mask=wanted, other=0.0).to(tl.float32)
        total += left * right
    tl.store(products + entry, tl.sum(total, 1), mask=real)
