"""Gated against a dense float64 twin: what each loss moves, what is frozen, and the thresholds of its export."""

from typing import Any

import pytest
import torch

from monoseme.saes import Knobs, NormaliseConfig
from monoseme.saes.gated import Gated
from monoseme.saes.thresholded import Thresholded

Parts = dict[str, torch.Tensor]
_EPS = 1e-3
_SETTINGS: list[dict[str, Any]] = [
    {},
    {"sparsity_coefficient": 0.7, "normalise": NormaliseConfig(kind="none")},
    {"p": 0.5},
    {"p": 0.3, "lp_form": "norm", "weight_by_decoder_norm": True},
]


def _rows(n: int, *, seed: int = 0) -> torch.Tensor:
    return 2.0 * torch.randn(n, 7, generator=torch.Generator().manual_seed(seed)) + 0.3


def _sae(**settings: Any) -> Gated:
    sae = Gated(Gated.Config(d_in=7, n_latents=11, **settings))
    sae.start(_rows(101, seed=1))
    stream = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in (sae.b_gate, sae.b_mag, sae.r_mag):
            parameter.copy_(0.2 * torch.randn(11, generator=stream))
        if settings.get("weight_by_decoder_norm"):
            sae.W_dec.mul_(0.5 + torch.rand(11, 1, generator=stream))
    return sae.double()


def _twin(sae: Gated, x: torch.Tensor) -> Parts:
    """Equations 5 to 8 of the paper with W_mag = W_enc e^r_mag made in full, densely; the frozen decoder is a copy."""
    config = sae.config
    x = x * sae.input_factor
    gate = (x - sae.b_dec) @ sae.W_enc + sae.b_gate
    magnitude = (x - sae.b_dec) @ (sae.W_enc * sae.r_mag.exp()) + sae.b_mag
    f = (gate > 0) * magnitude.clamp(min=0)
    variance = sae.input_variance
    a = gate.clamp(min=0) / variance**0.5
    if config.weight_by_decoder_norm:
        a = a * (sae.W_dec**2).sum(1) ** 0.5
    powers = a if config.p == 1 else torch.where(a > 0, (a + _EPS) ** config.p - _EPS**config.p, 0.0)
    rows = powers.sum(1) if config.lp_form == "power" else powers.sum(1) ** (1 / config.p)
    frozen_W_dec, frozen_b_dec = sae.W_dec.detach().clone(), sae.b_dec.detach().clone()
    from_gate = gate.clamp(min=0) @ frozen_W_dec + frozen_b_dec
    return {
        "reconstruction": ((x - f @ sae.W_dec - sae.b_dec) ** 2).sum(1).mean() / variance,
        "sparsity": config.sparsity_coefficient * rows.mean(),
        "auxiliary": ((x - from_gate) ** 2).sum(1).mean() / variance,
    }


def _gradients(sae: Gated, value: torch.Tensor) -> Parts:
    sae.zero_grad()
    value.backward(retain_graph=True)
    return {name: p.grad.clone() if p.grad is not None else torch.zeros_like(p) for name, p in sae.named_parameters()}


@pytest.mark.parametrize("kernels", ["torch", "reference"])
@pytest.mark.parametrize("settings", _SETTINGS)
def test_losses_and_gradients_are_those_of_the_dense_twin(settings: dict[str, Any], kernels: str) -> None:
    sae = _sae(**settings)
    sae.use_kernels(kernels)
    x = _rows(5).double()
    ours, theirs = sae.loss(x).parts, _twin(sae, x)
    assert ours.keys() == theirs.keys()
    for name, part in ours.items():
        assert abs(part.item() - theirs[name].item()) < 1e-9
        wanted = _gradients(sae, theirs[name])
        for parameter, gradient in _gradients(sae, part).items():
            assert (gradient - wanted[parameter]).abs().max().item() < 1e-9, (name, parameter)


def test_codes_by_hand() -> None:
    """u = x here. Latent 0: gate u > 1, magnitude 2 u - 1. Latent 1: gate u > -1, magnitude u - 2."""
    sae = Gated(Gated.Config(d_in=2, n_latents=2, normalise=NormaliseConfig(kind="none"), sparsity_coefficient=1.0))
    state = {"W_enc": torch.eye(2), "W_dec": torch.eye(2), "b_gate": torch.tensor([-1.0, 1.0])}
    more = {"r_mag": torch.tensor([2.0, 1.0]).log(), "b_mag": torch.tensor([-1.0, -2.0])}
    sae.load_state_dict({**sae.state_dict(), **state, **more})
    sae.started.fill_(True)
    x = torch.tensor([[3.0, 5.0], [1.0, 1.0], [0.9, -1.0]])
    assert sae.encode(x).dense().tolist() == [[5, 3], [0, 0], [0, 0]]
    losses = sae.loss(x)
    assert losses.parts["sparsity"].item() == pytest.approx(((2 + 6) + (0 + 2) + 0) / 3)
    assert losses.parts["reconstruction"].item() == pytest.approx((4 + 4 + 1 + 1 + 0.81 + 1) / 3)
    assert losses.parts["auxiliary"].item() == pytest.approx((1 + 1 + 1 + 1 + 0.81 + 1) / 3)


def test_the_frozen_decoder_has_no_gradient_from_the_auxiliary() -> None:
    sae = _sae()
    ours = _gradients(sae, sae.loss(_rows(5).double()).parts["auxiliary"])
    assert {name for name, gradient in ours.items() if bool(gradient.any())} == {"W_enc", "b_gate", "b_dec"}
    # b_dec moves as the centre of the encoder alone: what is added to the reconstruction is a constant
    assert torch.allclose(ours["b_dec"], -sae.W_enc.detach() @ ours["b_gate"], atol=1e-12)


def test_the_gate_has_no_gradient_from_the_reconstruction() -> None:
    sae = _sae()
    ours = _gradients(sae, sae.loss(_rows(5).double()).parts["reconstruction"])
    assert not ours["b_gate"].any()
    assert bool(ours["b_mag"].any())


@pytest.mark.parametrize("kind", ["none", "unit_mean_square", "standardise"])
def test_the_export_is_one_threshold_for_each_latent(kind: Any) -> None:
    sae = _sae(normalise=NormaliseConfig(kind=kind))
    with torch.no_grad():  # all four cases: gate or magnitude is the stricter one, with biases of either sign
        sae.b_gate.copy_(torch.linspace(-0.6, 0.5, 11))
        sae.b_mag.copy_(torch.tensor([0.4, -0.5, 0.3, -0.2, 0.1, 0.0, -0.4, 0.5, -0.3, 0.2, -0.1]))
    made = sae.export()
    assert type(made) is Thresholded
    x = _rows(501).double()
    wanted = sae.encode(x).sparse()
    assert torch.equal(made.encode(x).sparse().indices, wanted.indices)
    assert torch.allclose(made.encode(x).sparse().values, wanted.values, rtol=1e-12, atol=1e-12)
    if kind == "none":
        by_magnitude = made.threshold == 0
        assert 0 < int(by_magnitude.sum()) < 11


def test_annealing_keeps_the_penalty_on_the_gates_level() -> None:
    sae = _sae(p_end=0.2)
    x = _rows(53).double()
    before = sae.loss(x).parts["sparsity"].item()
    for progress in (0.3, 0.6, 1.0):
        losses = sae.loss(x, Knobs(progress=progress))
        assert losses.parts["sparsity"].item() == pytest.approx(before, rel=1e-9)
        sae.after_step(losses)
    assert sae.penalty.p.item() == pytest.approx(0.2)
    doubled = sae.loss(x, Knobs(progress=1.0, sparsity=2.0)).parts
    assert doubled["sparsity"].item() == pytest.approx(2 * before, rel=1e-9)
