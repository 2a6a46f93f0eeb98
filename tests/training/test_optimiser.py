"""Adam over dense and factored gradients, against slow twins in float64."""

import math

import pytest
import torch
from torch import Tensor, nn

from monoseme.core.errors import ResumeError
from monoseme.tensors.factored import FactoredGrad, add_factor
from monoseme.tensors.processes import Group, Mesh
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing.processes import in_threads
from monoseme.training.config import TrainConfig
from monoseme.training.optimiser import Optimiser

B, D, F = 5, 7, 11


def parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    rng = torch.Generator().manual_seed(seed)
    return {"W_dec": nn.Parameter(torch.randn(F, D, generator=rng)), "b_dec": nn.Parameter(torch.randn(D, generator=rng))}


def gradients(step: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(1000 + step)
    return {"W_dec": torch.randn(F, D, generator=rng), "b_dec": torch.randn(D, generator=rng)}


def optimiser(named: dict[str, nn.Parameter], **settings) -> Optimiser:
    config = TrainConfig(n_steps=10, **{"clip_norm": None, **settings})
    return Optimiser(named.items(), config, peak_rate=0.01)


def take_steps(named: dict[str, nn.Parameter], adam: Optimiser, steps: range) -> None:
    for step in steps:
        adam.zero_grad()
        for name, gradient in gradients(step).items():
            named[name].grad = gradient
        adam.gather()
        adam.update(1.0 / (step + 1))


def slow_adam(start: Tensor, grads: list[Tensor], *, decay: float, decoupled: bool) -> Tensor:
    """Kingma and Ba 2015, algorithm 1, with Loshchilov and Hutter's decay, in float64."""
    p, m, v = start.double(), torch.zeros_like(start).double(), torch.zeros_like(start).double()
    for t, raw in enumerate(grads, start=1):
        rate = 0.01 / t
        g = raw.double() + (0.0 if decoupled else decay) * p
        p = p * (1 - rate * decay) if decoupled else p
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        p = p - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 6.25e-10)
    return p


@pytest.mark.parametrize(("kind", "decoupled"), [("adam", False), ("adamw", True)])
def test_steps_are_those_of_the_written_out_algorithm(kind: str, decoupled: bool) -> None:
    named = parameters()
    start = {name: p.detach().clone() for name, p in named.items()}
    take_steps(named, optimiser(named, optimiser=kind, weight_decay=0.3), range(6))
    for name, decay in (("W_dec", 0.3), ("b_dec", 0.0)):  # biases do not decay
        wanted = slow_adam(start[name], [gradients(s)[name] for s in range(6)], decay=decay, decoupled=decoupled)
        # float32 moments: a few units in the last place over six steps
        torch.testing.assert_close(named[name].detach().double(), wanted, rtol=1e-5, atol=1e-6)


def test_clipping_is_of_the_norm_over_all_parameters() -> None:
    named = parameters()
    adam = optimiser(named, clip_norm=0.5)
    for name, gradient in gradients(0).items():
        named[name].grad = gradient.clone()
    whole = torch.cat([g.double().flatten() for g in gradients(0).values()])
    norm = adam.update(1.0)
    assert float(norm) == pytest.approx(float(whole.norm()), rel=1e-7)
    clipped = torch.cat([named[name].grad.double().flatten() for name in named])
    torch.testing.assert_close(clipped, whole * 0.5 / whole.norm(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("largest", [None, 1e6])
def test_a_short_enough_gradient_is_left_to_the_bit(largest: float | None) -> None:
    named = parameters()
    adam = optimiser(named, clip_norm=largest)
    for name, gradient in gradients(0).items():
        named[name].grad = gradient.clone()
    adam.update(1.0)
    assert all(torch.equal(named[name].grad, gradients(0)[name]) for name in named)


def test_clipping_a_zero_gradient_leaves_zero() -> None:
    named = parameters()
    adam = optimiser(named, clip_norm=1.0)
    for parameter in named.values():
        parameter.grad = torch.zeros_like(parameter)
    assert float(adam.update(1.0)) == 0.0
    assert all(not named[name].grad.any() for name in named)


def test_factors_join_the_dense_gradient_before_clipping_and_stepping() -> None:
    rng = torch.Generator().manual_seed(3)
    codes = SparseCodes.from_dense(torch.randn(B, F, generator=rng).relu())
    rows = torch.randn(B, D, generator=rng)
    dense, factored = parameters(), parameters()
    for named, as_factor in ((dense, False), (factored, True)):
        adam = optimiser(named, clip_norm=1.0)
        adam.zero_grad()
        named["W_dec"].grad = gradients(0)["W_dec"]
        named["b_dec"].grad = gradients(0)["b_dec"]
        if as_factor:
            add_factor(named["W_dec"], FactoredGrad(codes, rows))
        else:
            named["W_dec"].grad = named["W_dec"].grad + codes.to_dense().t() @ rows
        adam.gather()
        adam.update(1.0)
    for name in dense:
        torch.testing.assert_close(dense[name], factored[name], rtol=1e-5, atol=1e-6)


def test_zero_grad_forgets_factors() -> None:
    named = parameters()
    adam = optimiser(named)
    add_factor(named["W_dec"], FactoredGrad(SparseCodes.from_dense(torch.ones(B, F)), torch.ones(B, D)))
    adam.zero_grad()
    adam.gather()
    assert named["W_dec"].grad is None


def test_a_restored_optimiser_goes_on_to_the_bit() -> None:
    whole = parameters()
    take_steps(whole, optimiser(whole), range(6))
    named = parameters()
    first = optimiser(named)
    take_steps(named, first, range(3))
    second = optimiser(named)
    second.load_state({name: tensor.clone() for name, tensor in first.state().items()})
    take_steps(named, second, range(3, 6))
    assert all(torch.equal(named[name], whole[name]) for name in whole)


def test_moments_take_the_layout_of_their_parameter() -> None:
    named = {"W_enc": nn.Parameter(torch.randn(F, D).t())}
    adam = optimiser(named)
    adam.load_state({"W_enc.step": torch.tensor(1.0), "W_enc.exp_avg": torch.zeros(D, F), "W_enc.exp_avg_sq": torch.zeros(D, F)})
    assert adam.state()["W_enc.exp_avg"].stride() == named["W_enc"].stride()


def test_the_state_of_another_sae_is_refused() -> None:
    with pytest.raises(ResumeError, match="threshold"):
        optimiser(parameters()).load_state({"threshold.step": torch.tensor(1.0)})


def test_frozen_parameters_stay() -> None:
    named = parameters()
    named["b_dec"].requires_grad_(False)
    before = named["b_dec"].detach().clone()
    adam = optimiser(named)
    named["W_dec"].grad = gradients(0)["W_dec"]
    adam.update(1.0)
    assert torch.equal(named["b_dec"], before)
    assert math.isfinite(float(named["W_dec"].detach().sum()))


def test_the_norm_is_that_of_all_latents_and_counts_what_all_hold_once() -> None:
    shapes = {"W_enc": (D, F), "b_enc": (F,), "W_dec": (F, D), "b_dec": (D,)}
    rng = torch.Generator().manual_seed(5)
    start, grads = ({name: torch.randn(shape, generator=rng) for name, shape in shapes.items()} for _ in range(2))
    axes = {"W_enc": 1, "b_enc": 0, "W_dec": 0}

    def own(tensors: dict[str, Tensor], latents: Group) -> dict[str, Tensor]:
        picked = {name: torch.arange(latents.rank, F, latents.size) for name in axes}
        return {name: t.index_select(axes[name], picked[name]) if name in axes else t.clone() for name, t in tensors.items()}

    def run(mesh: Mesh) -> tuple[float, dict[str, Tensor]]:
        named = {name: nn.Parameter(tensor) for name, tensor in own(start, mesh.latents).items()}
        config = TrainConfig(n_steps=10, clip_norm=0.5)
        adam = Optimiser(named.items(), config, peak_rate=0.01, sharded=axes, latents=mesh.latents)
        for name, gradient in own(grads, mesh.latents).items():
            named[name].grad = gradient
        adam.gather()
        return float(adam.update(1.0)), {name: p.detach() for name, p in named.items()}

    ((norm, stepped),) = in_threads(run)
    assert norm == pytest.approx(math.sqrt(sum(float(g.square().sum()) for g in grads.values())), rel=1e-6)
    for rank, (found, parts) in enumerate(in_threads(run, latents=3)):
        assert found == pytest.approx(norm, rel=1e-6)
        for name, tensor in own(stepped, Group(rank, 3)).items():
            torch.testing.assert_close(parts[name], tensor)
