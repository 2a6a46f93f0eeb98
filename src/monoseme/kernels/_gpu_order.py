"""Floats as integers of the same order, so that a value and its index compare as one number.

    ordered(x) = bits of x                where the sign bit is clear
                 bits of x ^ 0x7fffffff   where it is set

as int32. -0 counts as 0, NaN as the largest number there is, as in the reference's sort.
"""

# pyright: reportInvalidTypeForm=false, reportMissingParameterType=false
import triton.language as tl

from monoseme.kernels._gpu_launch import kernel

LOWEST = tl.constexpr(-(2**31))
"""Below every ordered float."""
_MAGNITUDE = tl.constexpr(0x7FFFFFFF)


@kernel
def ordered(x):
    """int32 of the same order as the float32 x."""
    bits = tl.where(x == 0.0, 0.0, x).to(tl.int32, bitcast=True)
    bits = bits ^ ((bits >> 31) & _MAGNITUDE)
    return tl.where(x == x, bits, _MAGNITUDE)


@kernel
def unordered(bits):
    """The float32 of an ordered int32; NaN for the one that stands for NaN."""
    return (bits ^ ((bits >> 31) & _MAGNITUDE)).to(tl.float32, bitcast=True)
