"""The torch set's update by rows is the dense one: gradient, projection, clipping factor, Adam, unit norm, half copy."""

import pytest
import torch
from tests.kernels._adam_by_formula import stepped

from monoseme.kernels import AdamRule, RowMatrix, _density, _torch_rows
from monoseme.kernels._half import half_copy
from monoseme.kernels._torch_products import TorchProducts, is_dense
from monoseme.kernels._torch_rows import TorchRows
from monoseme.tensors.factored import FactoredGrad
from monoseme.tensors.sparse import SparseCodes

_B, _D, _F = 13, 7, 29


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five latents at a time, the last block cut short."""
    monkeypatch.setattr(_torch_rows, "_BLOCK_ELEMENTS", 5 * _D)


def _factor(seed: int, *, active: float = 0.3) -> FactoredGrad:
    stream = torch.Generator().manual_seed(seed)
    codes = torch.randn(_B, _F, generator=stream) * (torch.rand(_B, _F, generator=stream) < active)
    codes[:, 10:16] = 0  # a whole block in which nothing is active
    return FactoredGrad(SparseCodes.from_dense(codes), torch.randn(_B, _D, generator=stream))


def _matrix(seed: int, *, unit: bool) -> RowMatrix:
    stream = torch.Generator().manual_seed(seed)
    weight, first, second = (torch.randn(_F, _D, generator=stream) for _ in range(3))
    weight = torch.nn.functional.normalize(weight, dim=1) if unit else weight
    return RowMatrix(weight, first, second.square(), unit)


def _rule(decoupled: bool, decay: float) -> AdamRule:
    return AdamRule(lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8, step=4, weight_decay=decay, decoupled=decoupled)


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize(("decoupled", "decay", "scale"), [(False, 0.0, 1.0), (False, 0.1, 0.5), (True, 0.1, 1.0)])
@pytest.mark.parametrize("ready", [False, True])
def test_a_step_does_what_the_formulas_say(unit: bool, decoupled: bool, decay: float, scale: float, ready: bool) -> None:
    matrix, factor, rule = _matrix(0, unit=unit), _factor(1), _rule(decoupled, decay)
    expected = stepped(matrix, factor.dense(), rule, scale)
    square = TorchRows().step(matrix, factor.dense() if ready else factor, rule, scale=scale)
    # float32, a few dozen operations on numbers near 1
    for found, wanted in zip((*matrix[:3], square), expected, strict=True):
        assert torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("unit", [False, True])
def test_a_step_from_two_factors_is_one_from_their_sum(unit: bool) -> None:
    matrix, one, two = _matrix(0, unit=unit), _factor(1), _factor(2)
    expected = stepped(matrix, one.dense() + two.dense(), _rule(False, 0.0), 1.0)
    square = TorchRows().step(matrix, one, _rule(False, 0.0), scale=1.0, also=two)
    for found, wanted in zip((*matrix[:3], square), expected, strict=True):
        assert torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("add", [False, True])
def test_gather_adds_the_factors_up_and_knows_the_norm_after_projection(unit: bool, add: bool) -> None:
    matrix, factors = _matrix(0, unit=unit), [_factor(1), _factor(2)]
    before = torch.randn(_F, _D, generator=torch.Generator().manual_seed(3))
    out = before.clone()
    square = TorchRows().gather(matrix, factors, out, add=add)
    expected = factors[0].dense() + factors[1].dense() + (before if add else 0)
    assert torch.allclose(out, expected, atol=1e-5)
    assert torch.allclose(square, stepped(matrix, expected, _rule(False, 0.0), 1.0)[3], rtol=1e-5)


def test_codes_without_an_entry_and_codes_full_of_entries_update_all_the_same() -> None:
    rule = _rule(False, 0.0)
    for active in (0.0, 1.1):
        matrix, factor = _matrix(0, unit=True), _factor(1, active=active)
        expected = stepped(matrix, factor.dense(), rule, 1.0)
        TorchRows().step(matrix, factor, rule, scale=1.0)
        assert torch.allclose(matrix.weight.double(), expected[0], atol=1e-6)


def test_a_row_of_zeros_stays() -> None:
    matrix = _matrix(0, unit=True)
    for part in matrix[:3]:
        part[17] = 0
    factor = _factor(1)
    codes = factor.codes.to_dense()
    codes[:, 17] = 0
    TorchRows().step(matrix, FactoredGrad(SparseCodes.from_dense(codes), factor.rows), _rule(False, 0.0), scale=1.0)
    assert not matrix.weight[17].any()


def test_the_half_copy_is_kept_in_step() -> None:
    weight = _matrix(0, unit=False).weight
    matrix = _matrix(0, unit=False)._replace(weight=weight, half=half_copy(weight.t()))
    TorchRows().step(matrix, _factor(1), _rule(False, 0.0), scale=1.0)
    fresh = half_copy(matrix.weight.clone().t())
    for kept, made in zip(matrix.half, fresh, strict=True):
        assert torch.equal(kept, made)


def test_only_float32_rows_on_the_cpu_are_taken() -> None:
    rows = TorchRows()
    assert rows.takes(torch.ones(_F, _D))
    assert not rows.takes(torch.ones(_F, _D, dtype=torch.float64))
    assert not rows.takes(torch.ones(_D, _F).t())
    assert not rows.takes(torch.ones(0, _D))


def test_where_most_latents_are_active_dense_products_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    factor, weight = _factor(1, active=1.1), _matrix(0, unit=False).weight
    products, codes = TorchProducts(), factor.codes
    sparse = [products.weighted_rows(codes, weight), products.dots(codes, factor.rows, weight)]
    sparse.append(products.latent_sums(codes, factor.rows))
    monkeypatch.setattr(_density, "_FEW_ENTRIES", 0)
    assert is_dense(codes)
    dense = [products.weighted_rows(codes, weight), products.dots(codes, factor.rows, weight)]
    dense.append(products.latent_sums(codes, factor.rows))
    for expected, found in zip(sparse, dense, strict=True):
        assert torch.allclose(expected, found, atol=1e-5)
    matrix, rule = _matrix(0, unit=True), _rule(False, 0.0)
    expected, *_ = stepped(matrix, factor.dense(), rule, 1.0)
    TorchRows().step(matrix, factor, rule, scale=1.0)
    assert torch.allclose(matrix.weight.double(), expected, atol=1e-6)
