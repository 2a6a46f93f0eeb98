"""Correlations from sparse codes against dense ones, and matchings whose answer is known."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.evaluation import (
    CodeColumns,
    CodeGatherer,
    agreement,
    assign,
    columns_of,
    correlation_blocks,
    fired_together,
    match_codes,
    match_directions,
)
from monoseme.tensors.sparse import SparseCodes


def some_codes(n_tokens: int, n_latents: int, *, seed: int = 0, share: float = 0.3) -> torch.Tensor:
    stream = torch.Generator().manual_seed(seed)
    values = torch.randn(n_tokens, n_latents, generator=stream)
    return values * (torch.rand(values.shape, generator=stream) < share)


def columns(codes: torch.Tensor, *, n_at_once: int = 7) -> CodeColumns:
    gatherer = CodeGatherer(codes.shape[-1])
    for piece in codes.split(n_at_once):
        gatherer.add(SparseCodes.from_dense(piece))
    return columns_of(gatherer.codes())


def whole(a: CodeColumns, b: CodeColumns, *, block_entries: int = 1 << 20) -> np.ndarray:
    return np.concatenate([block for _, block in correlation_blocks(a, b, block_entries=block_entries)])


def test_correlations_are_those_of_dense_codes() -> None:
    x, y = some_codes(101, 7), some_codes(101, 11, seed=1)
    expected = np.corrcoef(x.double().numpy(), y.double().numpy(), rowvar=False)[:7, 7:]
    np.testing.assert_allclose(whole(columns(x), columns(y)), expected, rtol=0, atol=1e-14)


def test_a_latent_that_never_changes_has_no_correlation() -> None:
    x = some_codes(29, 5)
    x[:, 1], x[:, 3] = 0.0, 2.0
    found = whole(columns(x), columns(x))
    assert np.isnan(found[[1, 3]]).all()
    assert np.isnan(found[:, [1, 3]]).all()
    np.testing.assert_allclose(found[[0, 2, 4], [0, 2, 4]], 1.0, rtol=0, atol=1e-14)
    matched = match_codes(columns(x), columns(x))
    assert matched.nearest.exists.tolist() == matched.back.exists.tolist() == [True, False, True, False, True]
    assert matched.assigned is not None
    assert matched.assigned.exists.tolist() == [True, False, True, False, True]


@given(st.integers(1, 17), st.integers(1, 13), st.integers(1, 40))
@settings(max_examples=30)
def test_blocks_of_any_size_give_the_same_bits(n_a: int, n_b: int, block_entries: int) -> None:
    a, b = columns(some_codes(31, n_a, seed=n_a)), columns(some_codes(31, n_b, seed=100 + n_b))
    once, chunked = match_codes(a, b), match_codes(a, b, block_entries=block_entries)
    assert np.array_equal(whole(a, b), whole(a, b, block_entries=block_entries), equal_nan=True)
    for one, other in zip(once, chunked, strict=True):
        assert one is not None
        assert other is not None
        assert np.array_equal(one.similarity, other.similarity, equal_nan=True)
        assert np.array_equal(one.partner[one.exists], other.partner[other.exists])


def test_the_nearest_of_both_directions_are_the_largest_of_rows_and_columns() -> None:
    a, b = columns(some_codes(61, 7)), columns(some_codes(61, 5, seed=1))
    r = whole(a, b)
    found = match_codes(a, b, block_entries=11)
    assert np.array_equal(found.nearest.similarity, r.max(1))
    assert np.array_equal(found.nearest.partner, r.argmax(1))
    assert np.array_equal(found.back.similarity, r.max(0))
    assert np.array_equal(found.back.partner, r.argmax(0))


def test_codes_of_several_sites_are_summed_for_each_token() -> None:
    x = some_codes(23, 7).reshape(23, 7)
    y = some_codes(23, 7, seed=1)
    gatherer = CodeGatherer(7)
    for rows in (slice(0, 10), slice(10, 23)):
        gatherer.add(SparseCodes.from_dense(torch.stack([x[rows], y[rows]], dim=1)))
    np.testing.assert_allclose(gatherer.codes().toarray(), (x.double() + y.double()).numpy(), rtol=0, atol=0)


def test_codes_of_other_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="31 tokens do not go with codes of 29"):
        match_codes(columns(some_codes(31, 3)), columns(some_codes(29, 3)))


def test_tokens_on_which_both_fire_are_counted() -> None:
    x, y = some_codes(43, 5), some_codes(43, 5, seed=1)
    expected = ((x != 0) & (y != 0)).sum(0).tolist()
    assert fired_together(columns(x), columns(y)).tolist() == expected


def test_moved_codes_keep_everything_but_the_coincidence() -> None:
    x = some_codes(13, 3)
    moved = columns(x).moved(5)
    assert np.array_equal(moved.codes.toarray(), x.roll(5, dims=0).double().numpy())
    np.testing.assert_allclose(moved.deviation, columns(x.roll(5, dims=0)).deviation)


def test_the_assignment_has_the_largest_sum_of_all() -> None:
    similarity = np.random.default_rng(0).normal(size=(5, 5))
    best = max(itertools.permutations(range(5)), key=lambda p: similarity[range(5), p].sum())
    assert tuple(assign(similarity).partner) == best


def test_one_partner_serves_one_latent_only_when_assigned() -> None:
    # Both rows are nearest to column 0; the sum is largest when the first gives way.
    similarity = np.array([[0.9, 0.8], [0.95, 0.1]])
    assert assign(similarity).partner.tolist() == [1, 0]
    wide = assign(np.array([[0.1], [0.7], [np.nan]]))
    assert wide.exists.tolist() == [False, True, False]


def test_permuted_noisy_directions_are_found_and_extra_ones_are_not_matched() -> None:
    stream = torch.Generator().manual_seed(0)
    a = torch.nn.functional.normalize(torch.randn(41, 32, generator=stream), dim=1)
    order = torch.randperm(41, generator=stream)
    noisy = torch.nn.functional.normalize(a[order] + 0.02 * torch.randn(41, 32, generator=stream), dim=1)
    extra = torch.nn.functional.normalize(torch.randn(6, 32, generator=stream), dim=1)
    found = match_directions(a, torch.cat([noisy, extra]))
    place = order.argsort().numpy()
    assert np.array_equal(found.nearest.partner, place)
    assert found.assigned is not None
    assert np.array_equal(found.assigned.partner, place)
    assert (found.back.similarity[:41] > 0.95).all()
    assert (found.back.similarity[41:] < 0.8).all()
    turned = found.turned()
    assert turned.assigned is not None
    assert np.array_equal(turned.assigned.partner[:41], order.numpy())
    assert not turned.assigned.exists[41:].any()


def test_too_many_latents_are_not_assigned() -> None:
    rows = torch.eye(5)
    assert match_directions(rows, rows, most_assigned=4).assigned is None
    codes = columns(some_codes(31, 5))
    assert match_codes(codes, codes, most_assigned=4).assigned is None
    assert match_codes(codes, codes, most_assigned=5).assigned is not None


def test_agreement_is_counted_where_both_have_a_partner() -> None:
    one = assign(np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [np.nan, np.nan, np.nan]]))
    other = assign(np.array([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9], [0.1, 0.9, 0.1]]))
    found = agreement(one, other)
    assert found[:2].tolist() == [1.0, 0.0]
    assert np.isnan(found[2])
