"""The optimiser's step by rows against the same step written out in float64."""

import pytest
import torch
from tests.kernels._adam_by_formula import stepped
from torch.nn import functional

from monoseme.kernels._cpu_rows import NumbaRows
from monoseme.kernels._half import half_copy
from monoseme.kernels._rows import AdamRule, RowMatrix
from monoseme.tensors.factored import FactoredGrad
from monoseme.tensors.sparse import SparseCodes

B, D, F = 5, 7, 11
ROWS = NumbaRows()
SHAPES = [(B, D, F), (33, 65, 129), (1, 1, 1), (9, 48, 31)]
PLAIN = AdamRule(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, step=3, weight_decay=0.0, decoupled=False)
RULES = [PLAIN, PLAIN._replace(weight_decay=0.3), PLAIN._replace(weight_decay=0.3, decoupled=True, beta1=0.0, step=1)]


def factor(n_rows: int, width: int, n_latents: int, *, seed: int = 0) -> FactoredGrad:
    rng = torch.Generator().manual_seed(seed)
    code = torch.randn(n_rows, n_latents, generator=rng) * (torch.rand(n_rows, n_latents, generator=rng) < 0.3)
    code[:, n_latents // 2] = 0.0  # one latent at least that nothing touches
    return FactoredGrad(SparseCodes.from_dense(code), torch.randn(n_rows, width, generator=rng))


def matrix(width: int, n_latents: int, *, unit: bool, half: bool = False) -> RowMatrix:
    rng = torch.Generator().manual_seed(1)
    weight = torch.randn(n_latents, width, generator=rng)
    weight = functional.normalize(weight, dim=1) if unit else weight
    exp_avg, exp_avg_sq = torch.randn(n_latents, width, generator=rng) * 0.1, torch.rand(n_latents, width, generator=rng) * 0.01
    return RowMatrix(weight, exp_avg, exp_avg_sq, unit, half_copy(torch.zeros(n_latents, width).t()) if half else None)


def copied(of: RowMatrix) -> RowMatrix:
    return of._replace(**{name: getattr(of, name).clone() for name in ("weight", "exp_avg", "exp_avg_sq")})


@pytest.mark.parametrize("unit", [False, True], ids=["free", "unit"])
@pytest.mark.parametrize("rule", RULES, ids=["plain", "decay", "decoupled"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_is_the_one_stepped(shape: tuple[int, int, int], rule: AdamRule, unit: bool) -> None:
    given = factor(*shape)
    before = matrix(*shape[1:], unit=unit)
    wanted = stepped(before, given.dense(), rule, 0.7)
    for gradient in (given, given.dense()):
        after = copied(before)
        square = ROWS.step(after, gradient, rule, scale=0.7)
        for found, right in zip((*after[:3], square), wanted, strict=True):
            # float32: a few units in the last place, and Adam's quotient where both moments are small
            torch.testing.assert_close(found.double(), right, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("unit", [False, True], ids=["free", "unit"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_from_two_factors_is_one_from_their_sum(shape: tuple[int, int, int], unit: bool) -> None:
    one, two = factor(*shape, seed=1), factor(shape[0] + 2, *shape[1:], seed=2)
    before = matrix(*shape[1:], unit=unit)
    wanted = stepped(before, one.dense() + two.dense(), PLAIN, 0.7)
    after = copied(before)
    square = ROWS.step(after, one, PLAIN, scale=0.7, also=two)
    for found, right in zip((*after[:3], square), wanted, strict=True):
        torch.testing.assert_close(found.double(), right, rtol=2e-5, atol=1e-6)  # as above


@pytest.mark.parametrize("unit", [False, True], ids=["free", "unit"])
@pytest.mark.parametrize("n_factors", [1, 2, 3])
def test_factors_are_gathered_and_their_projected_norm_returned(n_factors: int, unit: bool) -> None:
    factors = [factor(B, D, F, seed=seed) for seed in range(n_factors)]
    before = matrix(D, F, unit=unit)
    rest = torch.randn(F, D, generator=torch.Generator().manual_seed(9))
    for start, add in ((torch.full((F, D), torch.nan), False), (rest.clone(), True)):
        square = ROWS.gather(before, factors, start, add=add)
        whole = sum(one.dense() for one in factors) + (rest if add else 0.0)
        torch.testing.assert_close(start, whole, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(square, stepped(before, whole, PLAIN, 1.0)[3], rtol=1e-5, atol=0)


def test_a_factor_of_very_many_entries_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    given, before = factor(9, 48, 31), matrix(48, 31, unit=True)
    sparse, dense, out = copied(before), copied(before), [torch.empty(31, 48) for _ in range(3)]
    squares = [ROWS.step(sparse, given, PLAIN, scale=1.0), ROWS.gather(before, [given, given], out[0], add=False)]
    monkeypatch.setattr("monoseme.kernels._cpu_rows.suits_dense_here", lambda codes: True)
    others = [ROWS.step(dense, given, PLAIN, scale=1.0), ROWS.gather(before, [given, given], out[1], add=False)]
    torch.testing.assert_close(sparse.weight, dense.weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(out[0], out[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(squares, others, rtol=1e-5, atol=0)


@pytest.mark.parametrize("unit", [False, True], ids=["free", "unit"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_half_copy_is_the_one_made_afresh(shape: tuple[int, int, int], unit: bool) -> None:
    after = matrix(*shape[1:], unit=unit, half=True)
    ROWS.step(after, factor(*shape), PLAIN, scale=1.0)
    fresh = half_copy(after.weight.t())
    assert after.half is not None
    assert torch.equal(after.half.rows, fresh.rows)
    # sums of squares in another order than torch's
    torch.testing.assert_close(after.half.norms, fresh.norms, rtol=1e-6, atol=0)
    torch.testing.assert_close(after.half.lost, fresh.lost, rtol=1e-5, atol=1e-12)


def test_ties_of_the_half_copy_go_to_even() -> None:
    bits = torch.tensor([[0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF]], dtype=torch.int32)
    weight = bits.view(torch.float32)
    still = RowMatrix(weight.clone(), torch.zeros(1, 4), torch.zeros(1, 4), False, half_copy(torch.zeros(4, 1)))
    ROWS.step(still, torch.zeros(1, 4), PLAIN._replace(lr=0.0), scale=1.0)
    assert still.half is not None
    assert torch.equal(still.half.rows, weight.to(torch.bfloat16))


def test_a_row_of_zeros_stays_one_of_zeros() -> None:
    nothing = RowMatrix(torch.zeros(F, D), torch.zeros(F, D), torch.zeros(F, D), unit=True)
    ROWS.step(nothing, torch.zeros(F, D), PLAIN, scale=1.0)
    assert not nothing.weight.any()


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    given, before, results = factor(33, 65, 129), matrix(65, 129, unit=True), []
    n_before = torch.get_num_threads()
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            after, out = copied(before), torch.empty(129, 65)
            squares = [ROWS.step(after, given, PLAIN, scale=0.3), ROWS.gather(before, [given], out, add=False)]
            results.append([*after[:3], out, *squares])
    finally:
        torch.set_num_threads(n_before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_only_float32_with_a_latent_s_weights_together_is_taken() -> None:
    assert ROWS.takes(torch.zeros(F, D))
    assert not ROWS.takes(torch.zeros(F, D, dtype=torch.float64))
    assert not ROWS.takes(torch.zeros(D, F).t())
    assert not ROWS.takes(torch.zeros(F, D, device="meta"))
