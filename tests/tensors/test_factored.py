"""Factored gradients equal the dense ones they stand for. Letters: B 5, D 7, F 11."""

import torch

from monoseme.tensors.factored import (
    FactoredGrad,
    add_factor,
    emit_factors,
    emits_factors,
    latent_sums,
    materialise_factors,
    take_factors,
)
from monoseme.tensors.sparse import SparseCodes


def _factor(seed: int, *, transposed: bool = False) -> FactoredGrad:
    stream = torch.Generator().manual_seed(seed)
    dense = torch.randn(5, 11, generator=stream) * (torch.rand(5, 11, generator=stream) < 0.3)
    return FactoredGrad(SparseCodes.from_dense(dense), torch.randn(5, 7, generator=stream), transposed)


def test_dense_is_the_product_of_the_factors() -> None:
    factor = _factor(0)
    twin = factor.codes.to_dense().double().t() @ factor.rows.double()
    assert torch.allclose(factor.dense().double(), twin, atol=1e-6)  # float32 sums of at most 5 terms
    assert factor.dense().shape == (11, 7)
    assert torch.equal(factor._replace(transposed=True).dense(), factor.dense().t())


def test_no_active_latent_gives_zeros() -> None:
    empty = SparseCodes.from_dense(torch.zeros(5, 11))
    assert torch.equal(latent_sums(empty, torch.ones(5, 7)), torch.zeros(11, 7))


def test_factors_wait_on_the_parameter_until_taken() -> None:
    parameter = torch.nn.Parameter(torch.zeros(11, 7))
    add_factor(parameter, _factor(1))
    add_factor(parameter, _factor(2))
    assert parameter.grad is None
    assert len(take_factors(parameter)) == 2
    assert take_factors(parameter) == []


def test_materialised_factors_add_to_the_gradient() -> None:
    parameter = torch.nn.Parameter(torch.zeros(7, 11))
    parameter.grad = torch.ones(7, 11)
    add_factor(parameter, _factor(1, transposed=True))
    add_factor(parameter, _factor(2, transposed=True))
    materialise_factors([parameter])
    expected = 1 + _factor(1).dense().t() + _factor(2).dense().t()
    assert torch.allclose(parameter.grad, expected, atol=1e-6)
    assert take_factors(parameter) == []


def test_emitting_is_on_only_inside_the_block() -> None:
    assert not emits_factors()
    with emit_factors():
        assert emits_factors()
    assert not emits_factors()
