"""SparseCodes against dense tensors, row by row. Letters: B 5 rows, F 11 latents, K 3."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monoseme.tensors.sparse import SparseCodes


def _dense(*shape: int, seed: int = 0, density: float = 0.3) -> torch.Tensor:
    stream = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=stream)
    return x * (torch.rand(*shape, generator=stream) < density)


@given(n_rows=st.integers(0, 7), n_latents=st.integers(1, 13), seed=st.integers(0, 99), density=st.sampled_from([0, 0.2, 1]))
def test_from_dense_and_to_dense_are_inverses(n_rows: int, n_latents: int, seed: int, density: float) -> None:
    x = _dense(n_rows, n_latents, seed=seed, density=density)
    codes = SparseCodes.from_dense(x)
    assert torch.equal(codes.to_dense(), x)
    assert codes.nnz == int((x != 0).sum())
    assert torch.equal(codes.l0(), (x != 0).sum(1))


def test_indices_are_int32_and_offsets_int64() -> None:
    codes = SparseCodes.from_dense(_dense(5, 11))
    assert (codes.indices.dtype, codes.offsets.dtype, codes.rows().dtype) == (torch.int32, torch.int64, torch.int64)


def test_from_topk_keeps_explicit_zeros_and_l0_does_not_count_them() -> None:
    codes = SparseCodes.from_topk(torch.tensor([[4, 1], [0, 2]]), torch.tensor([[2.0, 0.0], [-1.0, 3.0]]), 5)
    assert codes.nnz == 4
    assert codes.fixed_k == 2
    assert codes.l0().tolist() == [1, 2]
    assert codes.drop_zeros().indices.tolist() == [4, 0, 2]
    assert codes.drop_zeros().fixed_k is None
    assert codes.to_dense().tolist() == [[0, 0, 0, 0, 2], [-1, 0, 3, 0, 0]]


def test_any_leading_shape_round_trips() -> None:
    x = _dense(2, 3, 11)
    codes = SparseCodes.from_dense(x)
    assert codes.leading == (2, 3)
    assert codes.n_rows == 6
    assert torch.equal(codes.to_dense(), x)
    assert codes.l0().shape == (2, 3)
    assert torch.equal(codes.reshape_leading(6).to_dense(), x.reshape(6, 11))
    with pytest.raises(ValueError, match="6 rows"):
        codes.reshape_leading(5)


def test_one_vector_has_no_leading_shape() -> None:
    x = _dense(11)
    codes = SparseCodes.from_dense(x)
    assert codes.leading == ()
    assert torch.equal(codes.to_dense(), x)


@given(seed=st.integers(0, 99))
def test_rows_are_selected_by_mask_and_by_number(seed: int) -> None:
    x = _dense(5, 11, seed=seed)
    codes = SparseCodes.from_dense(x)
    mask = torch.rand(5, generator=torch.Generator().manual_seed(seed)) < 0.5
    assert torch.equal(codes.select_rows(mask).to_dense(), x[mask])
    chosen = torch.tensor([3, 0, 3])
    assert torch.equal(codes.select_rows(chosen).to_dense(), x[chosen])


def test_selecting_rows_keeps_a_fixed_k() -> None:
    indices = torch.arange(10).reshape(5, 2)
    codes = SparseCodes.from_topk(indices, torch.ones(5, 2), 11)
    assert codes.select_rows(torch.tensor([4, 1])).fixed_k == 2
    assert codes.select_rows(torch.tensor([4, 1])).rows().tolist() == [0, 0, 1, 1]


def test_cat_joins_rows() -> None:
    parts = [_dense(2, 3, 11, seed=1), _dense(0, 3, 11), _dense(4, 3, 11, seed=2)]
    joined = SparseCodes.cat([SparseCodes.from_dense(part) for part in parts])
    assert torch.equal(joined.to_dense(), torch.cat(parts))
    with pytest.raises(ValueError, match="cannot join"):
        SparseCodes.cat([SparseCodes.from_dense(_dense(2, 11)), SparseCodes.from_dense(_dense(2, 7))])
    with pytest.raises(ValueError, match="cannot join"):
        SparseCodes.cat([])


def test_cat_of_unequal_k_is_not_fixed() -> None:
    one = SparseCodes.from_topk(torch.zeros(2, 1, dtype=torch.int64), torch.ones(2, 1), 11)
    two = SparseCodes.from_topk(torch.tensor([[0, 1]]), torch.ones(1, 2), 11)
    assert SparseCodes.cat([one, one]).fixed_k == 1
    assert SparseCodes.cat([one, two]).fixed_k is None


def test_by_latent_orders_entries_by_latent_then_row() -> None:
    x = _dense(5, 11)
    plan = SparseCodes.from_dense(x).by_latent
    expected = x.t().nonzero()
    assert plan.rows.tolist() == expected[:, 1].tolist()
    counts = (x != 0).sum(0)
    assert plan.starts.tolist() == (counts.cumsum(0) - counts).tolist()


def test_to_dense_passes_the_gradient_to_values_only() -> None:
    codes = SparseCodes.from_dense(_dense(5, 11))
    values = codes.values.clone().requires_grad_()
    weights = torch.randn(5, 11, generator=torch.Generator().manual_seed(3))
    (codes.with_values(values).to_dense() * weights).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, weights[codes.rows(), codes.indices.long()])
    assert not codes.with_values(values).detach().values.requires_grad
