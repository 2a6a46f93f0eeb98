"""The update by rows equals the formulas of its contract, from factors and from a gradient that lies ready."""

import pytest
import torch
from tests.kernels._adam_by_formula import stepped
from tests.kernels._gpu_cases import DEVICE, HAS_GPU, REASON, RUNS

from monoseme.kernels._rows import AdamRule, RowMatrix
from monoseme.tensors.factored import FactoredGrad
from monoseme.tensors.sparse import SparseCodes

if not RUNS:
    pytest.skip(REASON, allow_module_level=True)

from monoseme.kernels._gpu_rounding import rounded
from monoseme.kernels._gpu_rows import TritonRows

_ROWS = TritonRows()
_SHAPES = [
    (13, 7, 11),
    pytest.param((2048, 768, 24576), marks=pytest.mark.gpu),
    pytest.param((1021, 523, 8191), marks=pytest.mark.gpu),
]


def _draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def _factor(n_rows: int, width: int, n_latents: int, *, seed: int) -> FactoredGrad:
    """Three entries per row; many latents have none."""
    latents = torch.randint(0, n_latents - 2, (n_rows, 1), generator=torch.Generator().manual_seed(seed)) + torch.arange(3)
    return FactoredGrad(
        SparseCodes.from_topk(latents.to(DEVICE), _draw(n_rows, 3, seed=seed), n_latents), _draw(n_rows, width, seed=seed)
    )


def _matrix(width: int, n_latents: int, *, unit: bool, half: bool) -> RowMatrix:
    weight = _draw(n_latents, width, seed=1)
    weight = torch.nn.functional.normalize(weight, dim=1) if unit else weight
    weight[3] = 0.0  # a row of zeros stays one where rows are kept at unit norm
    moments = _draw(n_latents, width, seed=2) * 0.1, _draw(n_latents, width, seed=3).square() * 0.01
    return RowMatrix(weight, *moments, unit, rounded(weight, torch.bfloat16) if half else None)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("shape", _SHAPES, ids=str)
def test_a_step_from_factors_is_the_step_of_the_contract(shape: tuple[int, int, int], unit: bool, decoupled: bool) -> None:
    n_rows, width, n_latents = shape
    rule = AdamRule(0.01, 0.9, 0.999, 1e-8, 7, 0.1, decoupled)
    factor = _factor(n_rows, width, n_latents, seed=4)
    matrix = _matrix(width, n_latents, unit=unit, half=not unit)
    gradient = factor.codes.to_dense().double().t() @ factor.rows.double()
    *wanted, square = stepped(matrix, gradient, rule, 0.5)
    found = _ROWS.step(matrix, factor, rule, scale=0.5)
    for name, ours, theirs in zip(RowMatrix._fields, matrix[:3], wanted, strict=False):
        assert torch.allclose(ours.double(), theirs, rtol=1e-4, atol=2e-6), name
    assert found.dtype == torch.float64
    assert torch.allclose(found, square, rtol=1e-5)
    if matrix.half is not None:
        for ours, theirs in zip(matrix.half, rounded(matrix.weight, torch.bfloat16), strict=True):
            assert torch.allclose(ours.float(), theirs.float(), rtol=1e-5)
        # The interpreter cuts bits off where devices round: one in the last place, and still within what `lost` says.
        last_place = 0.0 if HAS_GPU else 2.0**-7
        assert torch.allclose(matrix.half.rows.float(), matrix.weight.bfloat16().float(), rtol=last_place, atol=0.0)


@pytest.mark.parametrize("add", [False, True])
def test_factors_gathered_and_then_used_give_the_same_step(add: bool) -> None:
    rule = AdamRule(0.01, 0.9, 0.999, 1e-8, 1, 0.0, False)
    factors = [_factor(13, 7, 11, seed=seed) for seed in (5, 6)]
    matrix = _matrix(7, 11, unit=True, half=False)
    out = _draw(11, 7, seed=9)
    gradient = sum((f.codes.to_dense().double().t() @ f.rows.double() for f in factors), out.double() if add else 0.0)
    *wanted, square = stepped(matrix, gradient, rule, 1.0)
    norm = _ROWS.gather(matrix, factors, out, add=add)
    assert torch.allclose(out.double(), gradient, rtol=1e-5, atol=1e-5)
    assert torch.allclose(norm, square, rtol=1e-5)
    assert torch.allclose(_ROWS.step(matrix, out, rule, scale=1.0), square, rtol=1e-5)
    assert torch.allclose(matrix.weight.double(), wanted[0], rtol=1e-4, atol=2e-6)


def test_only_float32_rows_that_lie_together_are_taken() -> None:
    weight = _draw(11, 7, seed=1)
    assert _ROWS.takes(weight)
    assert not _ROWS.takes(weight.t())
    assert not _ROWS.takes(weight.double())
    assert not _ROWS.takes(weight.bfloat16())
    assert not _ROWS.takes(weight.new_empty(2, 8193))
