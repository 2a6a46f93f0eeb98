"""Stored types: rounding, bounds, and what cannot be stored."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monoseme.activations.store.config import BYTES, StoredDtype
from monoseme.activations.store.encode import TORCH_DTYPES, decode, encode
from monoseme.core.errors import ConfigError

B, D = 5, 7


def _x(seed: int = 0, size: float = 1.0) -> torch.Tensor:
    return size * torch.randn(B, D, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", list(BYTES))
def test_the_type_is_as_wide_as_the_layout_says(dtype: StoredDtype) -> None:
    stored = encode(_x(), dtype)
    assert stored.x.dtype is TORCH_DTYPES[dtype]
    assert stored.x.element_size() == BYTES[dtype]
    assert (stored.scale is not None) == (dtype == "int8")
    assert torch.equal(stored.norm, _x().norm(dim=1))


def test_float32_is_kept_to_the_bit() -> None:
    stored = encode(_x(), "float32")
    assert torch.equal(decode(stored.x, stored.scale), _x())


def test_bfloat16_rounds_to_the_nearest_and_ties_to_even() -> None:
    # bfloat16 holds 1, 1 + 2^-7 and 1 + 2^-6 here: what lies half way goes to the even one.
    x = torch.tensor([[1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20]])
    assert decode(encode(x, "bfloat16").x).tolist() == [[1.0, 1 + 2**-6, 1 + 2**-7]]


@given(seed=st.integers(0, 1000), exponent=st.integers(-46, 37))
def test_int8_is_off_by_at_most_half_a_step(seed: int, exponent: int) -> None:
    x = _x(seed, 10.0**exponent)
    stored = encode(x, "int8") if exponent < 19 else None
    if stored is None:
        return
    assert stored.scale is not None
    step = x.abs().amax(dim=1, keepdim=True).double() / 127
    smallest = 2.0**-149  # below about 1e-38 the scale itself has few bits, at worst half of the smallest number off
    off = (decode(stored.x, stored.scale).double() - x.double()).abs()
    assert bool((off <= step / 2 * (1 + 1e-5) + 64 * smallest).all())


def test_int8_rounds_ties_to_even_and_reaches_127() -> None:
    stored = encode(torch.tensor([[127.0, -127.0, 0.5, 1.5, 2.5, -0.5]]), "int8")
    assert stored.x.tolist() == [[127, -127, 0, 2, 2, 0]]
    assert stored.scale is not None
    assert stored.scale.tolist() == [1.0]


@pytest.mark.parametrize("dtype", list(BYTES))
def test_a_row_of_zeros_stays_one_and_no_rows_stay_none(dtype: StoredDtype) -> None:
    stored = encode(torch.zeros(2, D), dtype)
    assert not decode(stored.x, stored.scale).any()
    assert stored.scale is None or stored.scale.tolist() == [0.0, 0.0]
    assert decode(*encode(torch.zeros(0, D), dtype)[:2]).shape == (0, D)


@pytest.mark.parametrize("dtype", list(BYTES))
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_not_stored(dtype: StoredDtype, bad: float) -> None:
    x = _x()
    x[3, 2] = bad
    with pytest.raises(ConfigError, match=r"resid_post\.1 hold NaN or infinity"):
        encode(x, dtype, what="the vectors of resid_post.1")


def test_float16_refuses_what_it_cannot_hold_and_takes_long_rows_of_small_numbers() -> None:
    with pytest.raises(ConfigError, match="float16 ends at 65,504"):
        encode(torch.tensor([[1.0, 65520.0]]), "float16")
    assert bool(encode(torch.full((1, 4), 60000.0), "float16").x.isfinite().all())


def test_a_model_in_half_precision_is_stored_as_it_is() -> None:
    x = _x().bfloat16()
    assert encode(x, "bfloat16").x is x
    assert torch.equal(decode(encode(x, "float32").x), x.float())
