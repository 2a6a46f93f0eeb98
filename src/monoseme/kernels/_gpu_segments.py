"""Sums by latent: codes^T @ rows, each latent's rows added in row order, without atomics.

Entries lie ordered by (latent, row); a latent's entries are a segment of them. One program adds up one segment, four rows of
width D in flight at a time, in registers. A latent that is active in a tenth of all rows would keep its program busy long after
the others are done: so whole aligned runs of 64 entries that belong to one latent are added up first, each by its own program,
and stand in for their entries. The order of additions depends on the codes alone: the same input gives the same bits.

Traffic: each entry's row is read once (4 D bytes, mostly from the second-level cache), each latent's sum written once.
Letters: B rows, D width, F latents, n entries.
"""

# pyright: reportInvalidTypeForm=false, reportMissingParameterType=false, reportGeneralTypeIssues=false
from typing import NamedTuple

import torch
import triton
import triton.language as tl

from monoseme.kernels._gpu_launch import kernel, launch
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

RUN = 64
"""Entries of a run: long enough that few sums are kept (n / 64 rows), short enough that one takes some ten microseconds."""
MOST_COLUMNS = 8192
"""Widths up to here fit into the registers of one program."""
_TOTALS = 64


class Segments(NamedTuple):
    """What a program needs to add up the entries of one latent."""

    weights: Float[Tensor, " n"]
    """Values, ordered by (latent, row)."""
    entry_rows: Int[Tensor, " n"]
    starts: Int[Tensor, " F"]
    rows: Float[Tensor, "B D"]
    runs: Float[Tensor, "n_runs D"]
    """Sums over the runs that belong to one latent; others are not written."""


def segments(codes: SparseCodes, rows: Float[Tensor, "B D"]) -> Segments:
    """With the sums over runs made."""
    plan = codes.by_latent
    weights = codes.values.detach()[plan.order].to(torch.float32)
    rows = rows.contiguous()
    runs = torch.empty(codes.nnz // RUN, rows.shape[1], dtype=torch.float32, device=rows.device)
    made = Segments(weights, plan.rows, plan.starts, rows, runs)
    latents = codes.plan("latents_in_order", _latents_in_order)
    launch(_run_sums, runs.shape[0], weights, plan.rows, latents, rows, runs, rows.shape[1], RUN=RUN, **row_shape(rows.shape[1]))
    return made


def _latents_in_order(codes: SparseCodes) -> Int[Tensor, " n"]:
    return codes.indices[codes.by_latent.order]


def row_shape(width: int) -> dict[str, int]:
    """Constants of a kernel that holds whole rows: the padded width, and warps for 8 columns per thread."""
    block = max(16, triton.next_power_of_2(width))
    return {"BLOCK": block, "num_warps": min(16, max(1, block // 256))}


def latent_sums(codes: SparseCodes, rows: Float[Tensor, "B D"], out: Float[Tensor, "F D"]) -> None:
    """Writes codes^T @ rows into `out`."""
    n_latents, width = out.shape
    launch(_latent_sums, n_latents, *segments(codes, rows), out, n_latents, codes.nnz, width, RUN=RUN, **row_shape(width))


def latent_totals(codes: SparseCodes, out: Float[Tensor, " F"]) -> None:
    """Writes the sum of the values of each latent."""
    plan = codes.by_latent
    weights = codes.values.detach()[plan.order]
    launch(_totals, codes.n_latents, weights, plan.starts, out, codes.n_latents, codes.nnz, BLOCK=_TOTALS, num_warps=1)


@kernel
def entries_of(starts, latent, n_latents, n_entries):
    """First entry of a latent, and the one after its last."""
    end = tl.load(starts + latent + 1, mask=latent + 1 < n_latents, other=n_entries)
    return tl.load(starts + latent), end


@kernel
def _add_entries(total, first, end, weights, entry_rows, rows, width, column):
    """`total` plus the weighted rows of the entries [first, end), in order."""
    for entry in tl.range(first, end, loop_unroll_factor=4):
        row = tl.load(entry_rows + entry)
        values = tl.load(rows + row * width + column, mask=column < width, other=0.0)
        total += tl.load(weights + entry) * values.to(tl.float32)
    return total


@kernel
def segment_sum(latent, weights, entry_rows, starts, rows, runs, n_latents, n_entries, width, column,
                RUN: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """The sum of one latent, float32: entries before the first whole run, runs, entries after the last."""
    first, end = entries_of(starts, latent, n_latents, n_entries)
    first_run = tl.cdiv(first, RUN)
    after_runs = tl.maximum(end // RUN, first_run)
    total = tl.full((BLOCK,), 0.0, tl.float32)
    total = _add_entries(total, first, tl.minimum(first_run * RUN, end), weights, entry_rows, rows, width, column)
    for run in tl.range(first_run, after_runs, loop_unroll_factor=4):
        total += tl.load(runs + run * width + column, mask=column < width, other=0.0)
    return _add_entries(total, tl.maximum(after_runs * RUN, first), end, weights, entry_rows, rows, width, column)


@kernel
def _run_sums(weights, entry_rows, latents, rows, runs, width, RUN: tl.constexpr, BLOCK: tl.constexpr):
    run = tl.program_id(0).to(tl.int64)
    first = run * RUN
    if tl.load(latents + first) == tl.load(latents + first + RUN - 1):
        column = tl.arange(0, BLOCK)
        total = tl.full((BLOCK,), 0.0, tl.float32)
        total = _add_entries(total, first, first + RUN, weights, entry_rows, rows, width, column)
        tl.store(runs + run * width + column, total, mask=column < width)


@kernel
def _latent_sums(weights, entry_rows, starts, rows, runs, out, n_latents, n_entries, width,
                 RUN: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    latent = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    total = segment_sum(latent, weights, entry_rows, starts, rows, runs, n_latents, n_entries, width, column, RUN, BLOCK)
    tl.store(out + latent * width + column, total, mask=column < width)


@kernel
def _totals(weights, starts, out, n_latents, n_entries, BLOCK: tl.constexpr):
    latent = tl.program_id(0).to(tl.int64)
    first, end = entries_of(starts, latent, n_latents, n_entries)
    total = tl.full((BLOCK,), 0.0, tl.float32)
    for start in tl.range(first, end, BLOCK):
        entry = start + tl.arange(0, BLOCK)
        total += tl.load(weights + entry, mask=entry < end, other=0.0).to(tl.float32)
    tl.store(out + latent, tl.sum(total, 0))
