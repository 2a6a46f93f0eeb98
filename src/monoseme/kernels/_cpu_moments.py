"""Sums over some rows of a float32 matrix, in float64 and in one pass each. One thread: the model has the others.

Letters: R rows, K of them kept, D columns. Nothing depends on threads; the order of the sums is that of the rows.
"""

from typing import Any

import numpy as np

from monoseme.kernels._compiled import serial


@serial
def add_deviations(x: Any, kept: Any, about: Any, sums: Any, squares: Any) -> None:
    """Adds to `sums` and `squares` [D] the deviations of the K kept rows of `x` [R, D] from `about` [D], and their squares."""
    n_kept, n_columns = kept.shape[0], x.shape[1]
    whole = n_kept - n_kept % 4
    for k in range(0, whole, 4):  # four rows at once: each sum is read and written once for them
        a, b, c, d = x[kept[k]], x[kept[k + 1]], x[kept[k + 2]], x[kept[k + 3]]
        for j in range(n_columns):
            p, q = np.float64(a[j]) - about[j], np.float64(b[j]) - about[j]
            r, s = np.float64(c[j]) - about[j], np.float64(d[j]) - about[j]
            sums[j] += (p + q) + (r + s)
            squares[j] += (p * p + q * q) + (r * r + s * s)
    for k in range(whole, n_kept):
        a = x[kept[k]]
        for j in range(n_columns):
            p = np.float64(a[j]) - about[j]
            sums[j] += p
            squares[j] += p * p


@serial
def squared_error_float32(x: Any, stored: Any, kept: Any) -> Any:
    """Sum of the squared differences of the kept rows of two matrices [R, D]."""
    total = 0.0
    for k in range(kept.shape[0]):
        row, other = x[kept[k]], stored[kept[k]]
        for j in range(x.shape[1]):
            gap = np.float64(row[j]) - np.float64(other[j])
            total += gap * gap
    return total


@serial
def squared_error_bfloat16(x: Any, stored: Any, kept: Any) -> Any:
    """As above; `stored` [R, D] holds bfloat16 as uint16: the upper half of a float32."""
    total = 0.0
    for k in range(kept.shape[0]):
        row, other = x[kept[k]], stored[kept[k]]
        for j in range(x.shape[1]):
            gap = np.float64(row[j]) - np.float64(np.uint32(np.uint32(other[j]) << 16).view(np.float32))
            total += gap * gap
    return total


@serial
def squared_error_int8(x: Any, stored: Any, scale: Any, kept: Any) -> Any:
    """As above; `stored` [R, D] is int8, and a row is it times its `scale` [R], in float32."""
    total = 0.0
    for k in range(kept.shape[0]):
        row, other, factor = x[kept[k]], stored[kept[k]], scale[kept[k]]
        for j in range(x.shape[1]):
            gap = np.float64(row[j]) - np.float64(np.float32(other[j]) * factor)
            total += gap * gap
    return total
