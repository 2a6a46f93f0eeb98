"""RunningMoments equals the moments of everything it saw, however that was cut up."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.tensors.running import RunningMoments

_B, _D = 23, 7

# Float64 sums of at most 23 numbers of size up to 1e3 in another order: 1e-12 relative is a hundred roundings.
_CLOSE = {"rtol": 1e-11, "atol": 1e-9}


def _rows(seed: int, *, offset: float = 0.0) -> torch.Tensor:
    return torch.randn(_B, _D, generator=torch.Generator().manual_seed(seed)) * torch.arange(1.0, _D + 1) + offset


def _seen(*pieces: torch.Tensor) -> RunningMoments:
    moments = RunningMoments(_D)
    for piece in pieces:
        moments.update(piece)
    return moments


def test_two_rows_worked_by_hand():
    moments = RunningMoments(2)
    moments.update(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    assert moments.n == 2
    assert moments.mean.tolist() == [2.0, 5.0]
    assert moments.var().tolist() == [1.0, 0.0]
    assert moments.var(unbiased=True).tolist() == [2.0, 0.0]


@settings(deadline=None)  # the first call pays for imports
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, _B), max_size=4), offset=st.sampled_from([0.0, -3.0, 1e3]))
def test_batches_equal_the_whole(seed: int, cuts: list[int], offset: float):
    rows = _rows(seed, offset=offset)
    moments = _seen(*torch.tensor_split(rows, sorted(cuts)))
    whole = rows.double()
    assert moments.n == _B
    torch.testing.assert_close(moments.mean, whole.mean(0), **_CLOSE)
    torch.testing.assert_close(moments.var(), whole.var(0, unbiased=False), **_CLOSE)


@settings(deadline=None)  # the first call pays for imports
@given(seed=st.integers(0, 1000), cut=st.integers(0, _B))
def test_merging_equals_the_whole_in_either_order(seed: int, cut: int):
    rows = _rows(seed, offset=2.0)
    whole = _seen(rows)
    for first, second in ((rows[:cut], rows[cut:]), (rows[cut:], rows[:cut])):
        merged = _seen(first)
        merged.merge(_seen(second))
        assert merged.n == whole.n
        torch.testing.assert_close(merged.mean, whole.mean, **_CLOSE)
        torch.testing.assert_close(merged.var(unbiased=True), whole.var(unbiased=True), **_CLOSE)


def test_a_mean_far_above_the_spread_does_not_cancel():
    # The sum-of-squares formula would lose all 16 digits here: (1e8)^2 against a variance of 1.
    rows = torch.tensor([[1e8 - 1.0], [1e8 + 1.0]], dtype=torch.float64)
    moments = RunningMoments(1)
    moments.update(rows)
    assert moments.var().item() == 1.0


def test_state_round_trip_is_bitwise_and_independent():
    moments = _seen(_rows(1), _rows(2))
    again = RunningMoments.from_state(moments.state())
    moments.update(_rows(3))
    expected = _seen(_rows(1), _rows(2))
    assert again.n == expected.n
    assert torch.equal(again.mean, expected.mean)
    assert torch.equal(again.var(), expected.var())


@pytest.mark.parametrize("unbiased", [False, True])
def test_variance_without_rows_is_nan(unbiased: bool):
    assert _seen().var(unbiased=unbiased).isnan().all()
    assert _seen(_rows(0)[:1]).var(unbiased=True).isnan().all()


def test_float32_rows_are_summed_in_float64():
    rows = torch.full((_B, 1), 0.1)
    moments = RunningMoments(1)
    moments.update(rows)
    assert moments.mean.item() == pytest.approx(float(torch.tensor(0.1)), rel=1e-15)
