"""Sums over some rows of a float32 matrix, in float64. One thread: the model has the others.

Letters: R rows, K of them kept, D columns. Nothing depends on threads; the order of the sums is that of the rows. Where the
stored rows are compared too, it is some rows at a time, so that the second pass finds them in the cache.
"""

from typing import Any

import numpy as np

from monoseme.kernels._compiled import serial

_CHUNK_NUMBERS = 1 << 15


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
def add_with_float32(x: Any, kept: Any, about: Any, sums: Any, squares: Any, stored: Any) -> Any:
    """As above; gives the sum of the squared differences of the kept rows from those of `stored` [R, D]."""
    lost, step = 0.0, max(4, _CHUNK_NUMBERS // x.shape[1])
    for start in range(0, kept.shape[0], step):
        part = kept[start : start + step]
        add_deviations(x, part, about, sums, squares)
        for k in range(part.shape[0]):
            row, other = x[part[k]], stored[part[k]]
            for j in range(x.shape[1]):
                gap = np.float64(row[j]) - np.float64(other[j])
                lost += gap * gap
    return lost


@serial
def add_with_bfloat16(x: Any, kept: Any, about: Any, sums: Any, squares: Any, stored: Any) -> Any:
    """As above; `stored` holds bfloat16 as uint16: the upper half of a float32."""
    lost, step = 0.0, max(4, _CHUNK_NUMBERS // x.shape[1])
    for start in range(0, kept.shape[0], step):
        part = kept[start : start + step]
        add_deviations(x, part, about, sums, squares)
        for k in range(part.shape[0]):
            row, other = x[part[k]], stored[part[k]]
            for j in range(x.shape[1]):
                gap = np.float64(row[j]) - np.float64(np.uint32(np.uint32(other[j]) << 16).view(np.float32))
                lost += gap * gap
    return lost


@serial
def add_with_int8(x: Any, kept: Any, about: Any, sums: Any, squares: Any, stored: Any) -> Any:
    """As above; `stored` is a pair: int8 [R, D] and the float32 scale [R] that a row of it is multiplied by."""
    codes, scale = stored
    lost, step = 0.0, max(4, _CHUNK_NUMBERS // x.shape[1])
    for start in range(0, kept.shape[0], step):
        part = kept[start : start + step]
        add_deviations(x, part, about, sums, squares)
        for k in range(part.shape[0]):
            row, other, factor = x[part[k]], codes[part[k]], scale[part[k]]
            for j in range(x.shape[1]):
                gap = np.float64(row[j]) - np.float64(np.float32(other[j]) * factor)
                lost += gap * gap
    return lost
