"""Rows of many matrices picked into one, converted on the way: the copy by which stored activations become a batch.

On the CPU by a compiled loop, where there is Numba, in one launch whatever the number of matrices; elsewhere by torch, matrix by
matrix. Both give the same numbers: widening is exact, and int8 times its scale is rounded once.
Letters: N rows, D columns, T tables, R rows of a table.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from monoseme.kernels.dispatch import default_choice, why_not
from monoseme.tensors.shapes import Float, Int, Tensor

FLOAT32, BFLOAT16, FLOAT16, INT8 = range(4)
"""What the loops call the types of a table."""
_KINDS = {torch.float32: FLOAT32, torch.bfloat16: BFLOAT16, torch.float16: FLOAT16, torch.int8: INT8}


class RowTable(NamedTuple):
    """A matrix that rows are picked from: `rows[r] * scale[r]`."""

    rows: Tensor
    """[R, D], of float32, bfloat16, float16 or int8."""
    scale: Float[Tensor, " R"] | None = None
    """Only for int8, in memory together; None: 1."""


def gather_rows(tables: Sequence[RowTable], table: Int[Tensor, " N"], row: Int[Tensor, " N"], out: Float[Tensor, "N D"]) -> None:
    """out[n] = row `row[n]` of table `table[n]`, in the type of `out`; row -1 stands for zeros.

    `table` and `row` are int64 on the CPU; the tables are on the device of `out`. Raises IndexError for a row or table that is
    not there.
    """
    if not len(table):
        return
    _check(tables, table, row)
    if _is_for_numba(tables, out):
        _gather_compiled(tables, table, row, out)
    else:
        gather_by_table(tables, table, row, out)


def gather_by_table(
    tables: Sequence[RowTable], table: Int[Tensor, " N"], row: Int[Tensor, " N"], out: Float[Tensor, "N D"]
) -> None:
    """The same by torch, on any device."""
    by_table = table.argsort(stable=True)
    counts = torch.bincount(table, minlength=len(tables)).tolist()
    places, wanted = by_table.to(out.device), row[by_table].to(out.device)
    start = 0
    for one, n in zip(tables, counts, strict=True):
        to, at = places[start : start + n], wanted[start : start + n]
        start += n
        if n and len(one.rows):
            found = one.rows.index_select(0, at.clamp(min=0)).to(out.dtype)
            if one.scale is not None:
                found *= one.scale.index_select(0, at.clamp(min=0)).to(out.dtype).unsqueeze(1)
            out.index_copy_(0, to, found)
    out[(row < 0).to(out.device)] = 0


def _check(tables: Sequence[RowTable], table: Tensor, row: Tensor) -> None:
    """The loops follow addresses: what is outside is refused before."""
    sizes = torch.tensor([len(one.rows) for one in tables])
    if bool((row >= sizes[table]).any()) or int(row.min()) < -1:
        raise IndexError(f"a row is asked for that its table does not have; the tables have {sizes.tolist()}")


def _is_for_numba(tables: Sequence[RowTable], out: Tensor) -> bool:
    suits = out.device.type == "cpu" and out.is_contiguous() and all(one.rows.is_contiguous() for one in tables)
    types = {one.rows.dtype for one in tables}
    known = types <= set(_KINDS) if out.dtype is torch.float32 else types == {out.dtype} and out.element_size() == 2
    return suits and known and default_choice() in ("auto", "numba") and why_not("numba", "cpu") is None


def _gather_compiled(tables: Sequence[RowTable], table: Tensor, row: Tensor, out: Tensor) -> None:
    from monoseme.kernels._cpu_gather import gather_plain, gather_wide
    from monoseme.kernels._threads import launch

    addresses = np.array([one.rows.data_ptr() for one in tables], np.int64)
    row_bytes = np.array([one.rows.shape[1] * one.rows.element_size() for one in tables], np.int64)
    places = (table.numpy(), row.numpy())
    with launch():
        if out.dtype is torch.float32:
            kinds = np.array([_KINDS[one.rows.dtype] for one in tables], np.int64)
            scales = np.array([0 if one.scale is None else one.scale.data_ptr() for one in tables], np.int64)
            gather_wide(addresses, row_bytes, kinds, scales, *places, out.numpy())
        else:
            gather_plain(addresses, row_bytes, *places, out.view(torch.int16).numpy())
