"""Adam by rows gives what the dense way gives from the same factors, and its state is the same state."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from monoseme.kernels import RowUpdates, has_unit_rows, kernels_named
from monoseme.kernels._half import half_copy, known_half_copy
from monoseme.saes._dictionary import remove_parallel_gradient, renormalise
from monoseme.tensors.factored import FactoredGrad, add_factor
from monoseme.tensors.notes import note, noted
from monoseme.tensors.sparse import SparseCodes
from monoseme.training.config import TrainConfig
from monoseme.training.optimiser import Optimiser

B, D, F = 5, 7, 11
UNIT = ("W_dec",)
ROWS = kernels_named("numba").rows

Named = dict[str, nn.Parameter]


def parameters() -> Named:
    rng = torch.Generator().manual_seed(0)
    rows = functional.normalize(torch.randn(F, D, generator=rng), dim=1)
    return {"W_enc": nn.Parameter(rows.clone().t()), "W_dec": nn.Parameter(rows), "b_dec": nn.Parameter(torch.zeros(D))}


def optimiser(named: Named, **settings: Any) -> Optimiser:
    return Optimiser(named.items(), TrainConfig(n_steps=40, **settings), peak_rate=0.01, unit_norm=UNIT)


def leave_gradients(named: Named, step: int, *, n_factors: int, rest: bool) -> None:
    rng = torch.Generator().manual_seed(1000 + step)
    for name in ("W_enc", "W_dec"):
        for _ in range(n_factors):
            code = torch.randn(B, F, generator=rng) * (torch.rand(B, F, generator=rng) < 0.3)
            rows = torch.randn(B, D, generator=rng)
            add_factor(named[name], FactoredGrad(SparseCodes.from_dense(code), rows, transposed=name == "W_enc"))
        # Autograd gives a gradient the strides of its parameter, which torch's fused update relies on.
        extra = torch.empty_like(named[name]).detach().copy_(torch.randn(named[name].shape, generator=rng))
        named[name].grad = extra if rest else None
    named["b_dec"].grad = torch.randn(D, generator=rng)


def train(named: Named, adam: Optimiser, steps: range, rows: RowUpdates | None, *, n_factors: int = 1, rest: bool = False
          ) -> list[Tensor]:  # fmt: skip
    """The norms of the steps."""
    norms: list[Tensor] = []
    for step in steps:
        adam.zero_grad()
        leave_gradients(named, step, n_factors=n_factors, rest=rest)
        adam.gather(rows)
        remove_parallel_gradient(named[name] for name in UNIT)
        norms.append(adam.update(1.0 / (step + 1)))
        renormalise(named[name] for name in UNIT)
    return norms


@pytest.mark.parametrize(("n_factors", "rest"), [(1, False), (3, False), (1, True)], ids=["one", "several", "dense_part"])
@pytest.mark.parametrize("clip_norm", [None, 0.5, 1e6])
@pytest.mark.parametrize("kind", [("adam", 0.0), ("adam", 0.3), ("adamw", 0.3)], ids=lambda kind: f"{kind[0]}{kind[1]}")
def test_rows_give_what_the_dense_way_gives(kind: tuple[str, float], clip_norm: float | None, n_factors: int, rest: bool) -> None:
    settings = {"optimiser": kind[0], "weight_decay": kind[1], "clip_norm": clip_norm}
    results: list[tuple[Named, Optimiser, list[Tensor]]] = []
    for rows in (None, ROWS):
        named = parameters()
        adam = optimiser(named, **settings)
        results.append((named, adam, train(named, adam, range(20), rows, n_factors=n_factors, rest=rest)))
    (dense, dense_adam, dense_norms), (by_rows, rows_adam, rows_norms) = results
    # float32 over twenty steps: where both moments are near zero, Adam's quotient doubles the rounding of its parts
    torch.testing.assert_close(rows_norms, dense_norms, rtol=1e-5, atol=0)
    for name in dense:
        torch.testing.assert_close(by_rows[name], dense[name], rtol=1e-4, atol=1e-5)
    assert rows_adam.state().keys() == dense_adam.state().keys()
    for name, moment in dense_adam.state().items():
        torch.testing.assert_close(rows_adam.state()[name], moment, rtol=1e-4, atol=1e-5)
        assert rows_adam.state()[name].stride() == moment.stride()


def test_clipping_by_rows_is_of_the_whole_norm() -> None:
    named, other = parameters(), parameters()
    adam, dense = optimiser(named, clip_norm=0.5), optimiser(other, clip_norm=0.5)
    norms = [*train(named, adam, range(1), ROWS), *train(other, dense, range(1), None)]
    torch.testing.assert_close(norms[0], norms[1], rtol=1e-6, atol=0)
    clipped = [tensor / 0.1 for name, tensor in adam.state().items() if name.endswith("exp_avg")]  # after one step, (1 - beta1) g
    assert float(torch.cat([c.double().flatten() for c in clipped]).norm()) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_a_restored_optimiser_goes_on_to_the_bit(clip_norm: float | None) -> None:
    whole, named = parameters(), parameters()
    train(whole, optimiser(whole, clip_norm=clip_norm), range(6), ROWS)
    first = optimiser(named, clip_norm=clip_norm)
    train(named, first, range(3), ROWS)
    second = optimiser(named, clip_norm=clip_norm)
    second.load_state({name: tensor.clone() for name, tensor in first.state().items()})
    train(named, second, range(3, 6), ROWS)
    assert all(torch.equal(named[name], whole[name]) for name in whole)


@pytest.mark.parametrize("order", [(None, ROWS, None), (ROWS, None, ROWS)], ids=["rows_between", "dense_between"])
def test_a_run_may_change_its_way(order: tuple[RowUpdates | None, ...]) -> None:
    dense, mixed = parameters(), parameters()
    train(dense, optimiser(dense), range(6), None)
    adam = optimiser(mixed)
    for part, rows in enumerate(order):
        train(mixed, adam, range(2 * part, 2 * part + 2), rows)
    assert float(adam.state()["W_dec.step"]) == 6.0
    for name in dense:
        torch.testing.assert_close(mixed[name], dense[name], rtol=1e-4, atol=1e-5)


def test_what_was_copied_of_a_parameter_is_stale_after_a_step_unless_kept_in_step() -> None:
    named = parameters()
    adam = optimiser(named)
    train(named, adam, range(1), ROWS)
    kept = half_copy(named["W_enc"])
    note(named["W_dec"], "colour", "red")
    train(named, adam, range(1, 2), ROWS)
    assert noted(named["W_dec"], "colour") is None
    assert known_half_copy(named["W_enc"]) is kept
    assert torch.equal(kept.rows, named["W_enc"].detach().t().to(torch.bfloat16))
    train(named, adam, range(2, 3), None)
    assert known_half_copy(named["W_enc"]) is None


def test_renormalising_passes_over_rows_left_at_unit_norm_until_they_change() -> None:
    named = parameters()
    train(named, optimiser(named), range(1), ROWS)
    assert has_unit_rows(named["W_dec"])
    assert not has_unit_rows(named["W_enc"])
    torch.testing.assert_close(named["W_dec"].norm(dim=1), torch.ones(F))
    with torch.no_grad():
        named["W_dec"].mul_(2.0)
    assert not has_unit_rows(named["W_dec"])
    renormalise([named["W_dec"]])
    torch.testing.assert_close(named["W_dec"].norm(dim=1), torch.ones(F))


def test_a_parameter_that_rows_cannot_take_goes_the_dense_way() -> None:
    wide = {name: nn.Parameter(parameter.detach().double()) for name, parameter in parameters().items()}
    wide["W_enc"] = nn.Parameter(parameters()["W_enc"].detach().contiguous())  # a latent's weights apart
    adam = optimiser(wide)
    adam.zero_grad()
    codes = SparseCodes.from_dense(torch.ones(B, F))
    add_factor(wide["W_enc"], FactoredGrad(codes, torch.ones(B, D), transposed=True))
    add_factor(wide["W_dec"], FactoredGrad(codes.with_values(codes.values.double()), torch.ones(B, D).double()))
    adam.gather(ROWS)
    assert torch.equal(wide["W_enc"].grad, torch.full((D, F), float(B)))
    assert torch.equal(wide["W_dec"].grad, torch.full((F, D), float(B)).double())


def test_moments_that_are_forgotten_are_forgotten_by_rows_too() -> None:
    named = parameters()
    adam = optimiser(named)
    train(named, adam, range(2), ROWS)
    adam.forget("W_enc", torch.tensor([3]), axis=1)
    assert not adam.state()["W_enc.exp_avg"][:, 3].any()
    assert adam.state()["W_enc.exp_avg"][:, 2].any()
