"""The n-th largest of many numbers without sorting them: the threshold of a row, and of a batch.

A float32 as an ordered integer is four digits of eight bits. The n-th largest is found digit by digit: the digits of the numbers
that agree with what is known so far are counted, and the digit is picked in which the n-th lies. Counts are integers, so that
the order of counting does not matter.

`kth_key` does so within one program, on numbers in registers. `nth_largest` does so over all programs: each counts 4,096
numbers, one adds the counts up. The host reads nothing back. Traffic: four reads of the numbers, from the second-level cache
where they fit.
"""

# pyright: reportInvalidTypeForm=false, reportMissingParameterType=false
import torch
import triton
import triton.language as tl

from monoseme.kernels._gpu_launch import kernel, launch
from monoseme.kernels._gpu_order import ordered, unordered
from monoseme.tensors.shapes import Float, Tensor

_BLOCK = 4096
"""Numbers counted by one program: 32 per thread of 4 warps."""
_DIGITS = tl.constexpr(256)
_BINS = tl.constexpr(512)
"""Bins by falling digit; the second half takes the numbers that are out already."""
_SHIFT = tl.constexpr(2**31)
"""Makes an ordered integer a positive one."""


def nth_largest(numbers: Float[Tensor, " N"], n: int) -> Float[Tensor, ""]:
    """The n-th largest, 1 <= n <= N; NaN counts as largest."""
    n_numbers = numbers.shape[0]
    n_programs = triton.cdiv(n_numbers, _BLOCK)
    counts = torch.empty(n_programs, _BINS.value, dtype=torch.int32, device=numbers.device)
    known = torch.tensor([0, n], device=numbers.device)
    found = torch.empty((), dtype=torch.float32, device=numbers.device)
    for shift in (24, 16, 8, 0):
        launch(_count, n_programs, numbers, known, counts, n_numbers, shift, BLOCK=_BLOCK)
        launch(_advance, 1, counts, known, found, n_programs, num_warps=4)
    return found


@kernel
def kth_key(key, real, k):
    """The k-th largest of ordered integers of this program, k at most the number that are real."""
    number = key.to(tl.int64) + _SHIFT
    known = tl.sum(tl.where(real, 0, 0), 0).to(tl.int64)
    sought = (known + k).to(tl.int32)  # a number of the device: Triton makes a constant of a k of 1, which no loop can carry
    for place in range(4):
        counts = _digit_counts(number, real, known, 24 - 8 * place)
        known, sought = _next_digit(counts, known, sought)
    return (known - _SHIFT).to(tl.int32)


@kernel
def _digit_counts(number, real, known, shift):
    """How many of the numbers that begin with `known` go on with each digit, the largest first."""
    head = number >> shift
    alive = real & ((head // _DIGITS) == known)
    return tl.histogram(tl.where(alive, -(head % _DIGITS) + (_DIGITS - 1), _DIGITS).to(tl.int32), _BINS)


@kernel
def _next_digit(counts, known, sought):
    """`known` with one digit more, and which of the numbers that begin so is sought."""
    passed = tl.cumsum(counts, 0) < sought
    digit = -tl.minimum(tl.sum(passed.to(tl.int32), 0), _DIGITS - 1) + (_DIGITS - 1)
    return known * _DIGITS + digit, sought - tl.sum(tl.where(passed, counts, 0), 0)


@kernel
def _count(numbers, known, counts, n_numbers, shift, BLOCK: tl.constexpr):
    program = tl.program_id(0).to(tl.int64)
    place = program * BLOCK + tl.arange(0, BLOCK)
    real = place < n_numbers
    number = ordered(tl.load(numbers + place, mask=real, other=0.0)).to(tl.int64) + _SHIFT
    bins = _digit_counts(number, real, tl.load(known), shift)
    tl.store(counts + program * _BINS + tl.arange(0, _BINS), bins)


@kernel
def _advance(counts, known, found, n_programs):
    """Adds the counts up and goes one digit further; what it writes to `found` is the number once all digits are known."""
    digit = tl.arange(0, _BINS)
    total = tl.full((_BINS,), 0, tl.int64)
    for program in range(n_programs):
        total += tl.load(counts + program * _BINS + digit)
    total = tl.where(digit < _DIGITS, total, 0)
    longer, sought = _next_digit(total, tl.load(known), tl.load(known + 1))
    tl.store(known, longer)
    tl.store(known + 1, sought)
    tl.store(found, unordered((longer - _SHIFT).to(tl.int32)))
