"""Rows are rounded to int8 by the loop and by torch to the same bits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.kernels import int8
from monoseme.kernels.int8 import to_int8

R, D = 11, 7

pytestmark = pytest.mark.skipif(not int8._has_loop(torch.zeros(1, 1)), reason="Numba is not installed")


def _same(x: torch.Tensor) -> bool:
    one, two = int8._by_loop(x), int8._by_torch(x)
    types = (one.codes.dtype, one.scale.dtype) == (two.codes.dtype, two.scale.dtype) == (torch.int8, torch.float32)
    return types and torch.equal(one.codes, two.codes) and torch.equal(one.scale, two.scale)


@settings(max_examples=50)
@given(seed=st.integers(0, 1000), exponent=st.integers(-149, 127), n_rows=st.integers(0, R), width=st.sampled_from([1, D, 67]))
def test_both_give_the_same_bits_at_every_size(seed: int, exponent: int, n_rows: int, width: int) -> None:
    x = torch.rand(n_rows, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    assert _same(torch.ldexp(x, torch.tensor(exponent)))


def test_ties_zeros_and_the_ends_of_the_range_are_the_same() -> None:
    ties = (torch.arange(-254, 255) / 2).unsqueeze(0)  # the scale is 1
    assert _same(ties)
    assert to_int8(ties).codes.tolist() == [[round(code) for code in ties[0].tolist()]]  # Python rounds ties to even too
    assert _same(torch.tensor([[0.0, -0.0], [-3e38, 1e-45], [1e-45, -1e-45], [190 * 2.0**-149, 2.0**-149]]))


def test_rows_that_do_not_lie_together_and_other_types_are_rounded() -> None:
    x = torch.randn(D, R, generator=torch.Generator().manual_seed(0))
    for given_x in (x.t(), x.t().bfloat16(), x.t().double()):
        wanted = int8._by_torch(given_x.float().contiguous())
        assert torch.equal(to_int8(given_x).codes, wanted.codes)
        assert torch.equal(to_int8(given_x).scale, wanted.scale)
