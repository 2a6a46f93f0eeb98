"""Rows picked from many places in memory, mapped files among them, into one matrix: one pass, one launch for all of them.

Source rows are found by address, so that a launch does not depend on how many matrices they lie in. The caller has checked that
every row is inside its matrix, and keeps the matrices alive.
Letters: N rows, D columns, T tables.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from monoseme.kernels._compiled import parallel, serial
from monoseme.kernels.gather import BFLOAT16, FLOAT16, INT8

_CHUNK = 64
"""Rows that a thread takes at a time."""


def _typed_pointer(_context: Any, _address: Any) -> Any:
    """Types and code of `_pointer`, as Numba's intrinsics want them."""

    def to_pointer(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), to_pointer


_pointer: Any = intrinsic(_typed_pointer)
"""The memory at an address."""


@serial
def _widen_bfloat16(row: Any, out: Any) -> None:
    """bfloat16 is the upper half of a float32."""
    bits = out.view(np.uint32)
    for i in range(row.shape[0]):
        bits[i] = np.uint32(row[i]) << np.uint32(16)


@serial
def _widen_float16(row: Any, out: Any) -> None:
    """Sign, 5 bits of exponent, 10 of mantissa. A subnormal is its mantissa times 2^-24; the highest exponent stays so."""
    for i in range(row.shape[0]):
        h = np.uint32(row[i])
        mantissa, exponent = h & np.uint32(0x3FF), (h >> np.uint32(10)) & np.uint32(0x1F)
        high = np.uint32(255) if exponent == np.uint32(31) else exponent + np.uint32(112)
        normal = (high << np.uint32(23)) | (mantissa << np.uint32(13))
        small = np.float32(np.float32(mantissa) * np.float32(2.0**-24)).view(np.uint32)
        bits = small if exponent == np.uint32(0) else normal
        out[i] = np.uint32(bits | ((h & np.uint32(0x8000)) << np.uint32(16))).view(np.float32)


@serial
def _scale_int8(row: Any, factor: Any, out: Any) -> None:
    for i in range(row.shape[0]):
        out[i] = np.float32(row[i]) * factor


@serial
def _fill(address: Any, kind: Any, factor: Any, out: Any) -> None:
    """One row [D], as float32."""
    width = out.shape[0]
    if kind == BFLOAT16:
        _widen_bfloat16(carray(_pointer(address), (width,), np.uint16), out)
    elif kind == FLOAT16:
        _widen_float16(carray(_pointer(address), (width,), np.uint16), out)
    elif kind == INT8:
        _scale_int8(carray(_pointer(address), (width,), np.int8), factor, out)
    else:
        row = carray(_pointer(address), (width,), np.float32)
        for i in range(width):
            out[i] = row[i]


@parallel
def gather_wide(addresses: Any, row_bytes: Any, kinds: Any, scales: Any, table: Any, row: Any, out: Any) -> None:
    """out[n] [D] = row row[n] of table table[n], as float32; zeros for row -1.

    Of each table: address, bytes of a row, kind, and the address of its scales (float32, for int8 only), all int64 [T].
    """
    n_rows = out.shape[0]
    for chunk in prange((n_rows + _CHUNK - 1) // _CHUNK):
        for n in range(chunk * _CHUNK, min(n_rows, (chunk + 1) * _CHUNK)):
            t, r = table[n], row[n]
            if r < 0:
                out[n, :] = np.float32(0.0)
            else:
                factor = np.float32(1.0)
                if scales[t] != 0:
                    factor = carray(_pointer(scales[t] + 4 * r), (1,), np.float32)[0]
                _fill(addresses[t] + r * row_bytes[t], kinds[t], factor, out[n])


@parallel
def gather_plain(addresses: Any, row_bytes: Any, table: Any, row: Any, out: Any) -> None:
    """As above for numbers of 16 bits, which stay as they are: `out` [N, D] as int16, like the tables."""
    n_rows, width = out.shape
    for chunk in prange((n_rows + _CHUNK - 1) // _CHUNK):
        for n in range(chunk * _CHUNK, min(n_rows, (chunk + 1) * _CHUNK)):
            t, r = table[n], row[n]
            if r < 0:
                out[n, :] = 0
            else:
                given, to = carray(_pointer(addresses[t] + r * row_bytes[t]), (width,), np.int16), out[n]
                for i in range(width):
                    to[i] = given[i]
