"""The compiled sparse products against torch's dense ones: odd sizes, empty rows and latents, many entries, other types."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monoseme.kernels._cpu_plan import latent_order
from monoseme.kernels._cpu_products import NumbaProducts
from monoseme.kernels._density import DenseProducts, Moves, pick_with_torch, scatter_with_torch, suits_dense
from monoseme.kernels._products import Products
from monoseme.kernels._torch_products import TorchProducts
from monoseme.tensors.sparse import SparseCodes

B, D, F = 5, 7, 11
NUMBA = NumbaProducts()
DENSE = [NUMBA._dense, DenseProducts(Moves(scatter_with_torch, pick_with_torch), TorchProducts())]
SHAPES = [(B, D, F, 0.4), (33, 65, 129, 0.2), (67, 48, 70, 0.7), (1, 1, 1, 1.0), (3, 16, 64, 0.0)]


def drawn(n_rows: int, width: int, n_latents: int, density: float, *, seed: int = 0) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(seed)
    kept = torch.rand(n_rows, n_latents, generator=rng) < density
    codes = SparseCodes.from_dense(torch.randn(n_rows, n_latents, generator=rng) * kept)
    rows, weight = torch.randn(n_rows, width, generator=rng), torch.randn(n_latents, width, generator=rng)
    return {"codes": codes, "rows": rows, "weight": weight, "bias": torch.randn(width, generator=rng)}


def all_four(products: Products, codes: SparseCodes, rows: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    sums = [products.weighted_rows(codes, weight), products.weighted_rows(codes, weight, bias)]
    return [*sums, products.dots(codes, rows, weight), products.latent_sums(codes, rows), products.latent_totals(codes)]


def obvious(codes: SparseCodes, rows: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """The same in float64, from dense matrices."""
    code, rows, weight, bias = (t.double() for t in (codes.to_dense(), rows, weight, bias))
    at = (codes.rows(), codes.indices.long())
    return [code @ weight, code @ weight + bias, (rows @ weight.t())[at], code.t() @ rows, code.sum(0)]


def assert_close(found: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        # float32 sums of at most 70 terms of size one
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_products_equal_the_dense_ones(shape: tuple[int, int, int, float]) -> None:
    given_ = drawn(*shape)
    assert_close(all_four(NUMBA, **given_), obvious(**given_))


@pytest.mark.parametrize("products", DENSE, ids=["numba", "torch"])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_dense_products_are_the_same_products(products: Products, shape: tuple[int, int, int, float]) -> None:
    given_ = drawn(*shape)
    assert_close(all_four(products, **given_), obvious(**given_))


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 20), st.floats(0, 1), st.integers(0, 99))
def test_any_small_size(n_rows: int, width: int, n_latents: int, density: float, seed: int) -> None:
    given_ = drawn(n_rows, width, n_latents, density, seed=seed)
    assert_close(all_four(NUMBA, **given_), obvious(**given_))


def test_dense_products_work_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoseme.kernels._density._CHUNK_ROWS", 3)
    monkeypatch.setattr("monoseme.kernels._density._CHUNK_ELEMENTS", F)
    given_ = drawn(B, D, F, 0.4)
    for products in DENSE:
        assert_close(all_four(products, **given_), obvious(**given_))


def test_many_active_latents_go_the_dense_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoseme.kernels._density._FEW_ENTRIES", 0)
    half, few = drawn(B, D, F, 0.8), drawn(B, D, F, 0.1)
    assert suits_dense(half["codes"], share=0.3)
    assert not suits_dense(few["codes"], share=0.3)
    assert_close(all_four(NUMBA, **half), obvious(**half))


def test_values_may_be_strided_and_entries_of_a_row_in_any_order() -> None:
    latents = torch.tensor([[3, 0, 10], [5, 4, 1]])
    codes = SparseCodes.from_topk(latents, torch.ones(()).expand(2, 3), F)
    given_ = drawn(2, D, F, 0.0) | {"codes": codes}
    assert_close(all_four(NUMBA, **given_), obvious(**given_))


@pytest.mark.parametrize("density", [0.1, 0.3])
def test_values_of_zero_change_no_bit_of_a_sum(density: float) -> None:
    case = drawn(33, 65, 129, density)
    codes = case["codes"]
    every_third = torch.where(torch.arange(codes.nnz) % 3 == 0, codes.values, 0.0)
    stored = codes.with_values(every_third)
    left_out = stored.drop_zeros()
    assert left_out.nnz < stored.nnz
    assert torch.equal(NUMBA.weighted_rows(stored, case["weight"]), NUMBA.weighted_rows(left_out, case["weight"]))
    assert torch.equal(NUMBA.latent_sums(stored, case["rows"]), NUMBA.latent_sums(left_out, case["rows"]))


def test_another_type_goes_to_torch() -> None:
    given_ = drawn(B, D, F, 0.4)
    codes = given_["codes"].with_values(given_["codes"].values.double())
    cast = {name: tensor.double() for name, tensor in given_.items() if name != "codes"}
    for one, other in zip(all_four(NUMBA, codes, **cast), all_four(TorchProducts(), codes, **cast), strict=True):
        assert one.dtype == torch.float64
        assert torch.equal(one, other)


def test_a_transposed_weight_goes_to_torch() -> None:
    given_ = drawn(B, D, F, 0.4)
    given_["weight"] = given_["weight"].t().contiguous().t()
    assert_close(all_four(NUMBA, **given_), obvious(**given_))


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    given_ = drawn(67, 48, 70, 0.3)
    before, results = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            results.append(all_four(NUMBA, **given_))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_not_a_number_stays_one() -> None:
    given_ = drawn(B, D, F, 0.4)
    given_["rows"][0, 0] = torch.nan
    entries = given_["codes"].rows() == 0
    assert NUMBA.dots(given_["codes"], given_["rows"], given_["weight"])[entries].isnan().all()


def test_the_order_by_latent_is_worked_out_once_for_a_pattern() -> None:
    codes = drawn(B, D, F, 0.4)["codes"]
    plan = latent_order(codes)
    assert latent_order(codes.with_values(codes.values * 2)) is plan
    wanted = codes.by_latent
    assert plan.order.tolist() == wanted.order.tolist()
    assert plan.rows.tolist() == wanted.rows.tolist()
    assert plan.starts.tolist() == [*wanted.starts.tolist(), codes.nnz]
