"""The fast selectors choose exactly what full stable sorts choose, ties, odd sizes and NaN included."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.kernels._selection import batch_topk_chosen, topk_latents
from monoseme.kernels.reference import batch_topk_by_sort, topk_by_sort

_SIZES = st.sampled_from([1, 2, 13, 16, 17, 64, 97, 128, 160, 272, 512])


def batch_topk_flat(pre: torch.Tensor, n: int) -> torch.Tensor:
    """Flat indices, whole and in pieces of three rows, which must agree; and the values must be those of the matrix."""
    whole = batch_topk_chosen([pre], n)
    pieces = batch_topk_chosen(pre.split(3), n)
    assert torch.equal(whole.flat, pieces.flat)
    for chosen in (whole, pieces):
        assert torch.equal(chosen.values.nan_to_num(9e9), pre.reshape(-1)[chosen.flat].nan_to_num(9e9))
    return whole.flat


def _matrix(n_rows: int, n_latents: int, *, seed: int, levels: int | None) -> torch.Tensor:
    """Random normal, or rounded to few levels so that ties are everywhere."""
    x = torch.randn(n_rows, n_latents, generator=torch.Generator().manual_seed(seed))
    return x if levels is None else (x * levels).round() / levels


@settings(deadline=None)
@given(n_rows=st.integers(0, 9), n_latents=_SIZES, k=st.integers(1, 40), seed=st.integers(0, 999),
       levels=st.sampled_from([None, 1, 5, 50]))  # fmt: skip
def test_topk_equals_the_sort(n_rows: int, n_latents: int, k: int, seed: int, levels: int | None) -> None:
    pre = _matrix(n_rows, n_latents, seed=seed, levels=levels)
    assert torch.equal(topk_latents(pre, k), topk_by_sort(pre, k))


@settings(deadline=None)
@given(n_rows=st.integers(0, 40), n_latents=_SIZES, k=st.integers(1, 9), seed=st.integers(0, 999),
       levels=st.sampled_from([None, 1, 5, 50]))  # fmt: skip
def test_batch_topk_equals_the_sort(n_rows: int, n_latents: int, k: int, seed: int, levels: int | None) -> None:
    pre = _matrix(n_rows, n_latents, seed=seed, levels=levels)
    assert torch.equal(batch_topk_flat(pre, k * n_rows), batch_topk_by_sort(pre, k * n_rows))


def test_all_equal_takes_the_lowest_latents() -> None:
    pre = torch.zeros(3, 512)
    assert topk_latents(pre, 3).tolist() == [[0, 1, 2]] * 3
    assert batch_topk_flat(pre, 5).tolist() == [0, 1, 2, 3, 4]


def test_a_tie_at_the_cut_goes_to_the_lowest_index() -> None:
    pre = torch.full((2, 512), -1.0)
    pre[0, [400, 7, 90]] = torch.tensor([1.0, 0.5, 0.5])
    pre[1, [3, 500]] = 0.5
    assert topk_latents(pre, 2).tolist() == [[7, 400], [3, 500]]
    assert batch_topk_flat(pre, 3).tolist() == [7, 90, 400]


def test_one_row_may_take_the_whole_budget() -> None:
    pre = _matrix(32, 512, seed=1, levels=None)
    pre[17] += 100.0
    flat = batch_topk_flat(pre, 32 * 8)
    assert torch.equal(flat, batch_topk_by_sort(pre, 32 * 8))
    assert (flat // 512 == 17).all()


def test_rows_of_unlike_scale_defeat_the_sampled_bound_but_not_the_result() -> None:
    pre = _matrix(64, 512, seed=2, levels=None)
    pre[::8] *= 1000.0  # exactly the rows that the first guess of the floor looks at
    assert torch.equal(batch_topk_flat(pre, 64 * 4), batch_topk_by_sort(pre, 64 * 4))


def test_nan_is_selected_so_that_the_loss_shows_it() -> None:
    pre = _matrix(32, 512, seed=3, levels=None)
    pre[5, 77] = torch.nan
    assert torch.equal(topk_latents(pre, 4), topk_by_sort(pre, 4))
    assert 77 in topk_latents(pre, 4)[5]
    assert torch.equal(batch_topk_flat(pre, 64), batch_topk_by_sort(pre, 64))
    assert 5 * 512 + 77 in batch_topk_flat(pre, 64)


def test_minus_infinity_is_chosen_last() -> None:
    pre = torch.full((3, 512), -torch.inf)
    pre[:, 100] = -5.0
    assert topk_latents(pre, 2).tolist() == [[0, 100]] * 3
    assert torch.equal(batch_topk_flat(pre, 7), batch_topk_by_sort(pre, 7))


def test_a_transposed_matrix_is_selected_from_as_it_reads() -> None:
    pre = _matrix(512, 64, seed=4, levels=None).t()
    assert torch.equal(topk_latents(pre, 5), topk_by_sort(pre, 5))
    assert torch.equal(batch_topk_flat(pre, 300), batch_topk_by_sort(pre, 300))
