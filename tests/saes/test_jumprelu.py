"""JumpReLU: straight-through kernels, each penalty against a dense float64 twin, units, what settings are refused."""

from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.saes import Knobs, NormaliseConfig
from monoseme.saes._entries import at_entries
from monoseme.saes._ste import KERNELS, KernelName
from monoseme.saes.jumprelu import JumpReLU
from monoseme.saes.thresholded import Thresholded
from monoseme.tensors.sparse import SparseCodes

Parts = dict[str, torch.Tensor]
_DENSITIES = {
    "rectangle": lambda u: ((u > -0.5) & (u < 0.5)).double(),
    "triangle": lambda u: torch.where(u.abs() < 1, 1 - u.abs(), 0.0),
    "epanechnikov": lambda u: torch.where(u.abs() < 1, 0.75 - 0.75 * u * u, 0.0),
    "gaussian": lambda u: torch.distributions.Normal(0.0, 1.0).log_prob(u).exp(),
    "logistic": lambda u: 1 / (2 + u.exp() + (-u).exp()),
}
_SETTINGS: list[dict[str, Any]] = [
    *({"kernel": kernel} for kernel in KERNELS),
    {"threshold_unit": "normalised", "bandwidth": 0.4, "start_threshold": 0.2},
    {"window_moves": "threshold"},
    {"window_moves": "threshold", "l0_counts": "codes"},
    {"l0_counts": "codes"},
    {"threshold_learns_from": "penalty"},
    {"penalty": "target_l0", "target_l0": 3.0},
    {"penalty": "target_l0", "target_l0": 3.0, "sparsity_coefficient": 0.3, "l0_counts": "codes"},
    {"penalty": "tanh"},
    {"penalty": "tanh", "window_moves": "threshold"},
    {"penalty": "tanh", "weight_by_decoder_norm": True, "tanh_scale": 2.0, "threshold_learns_from": "penalty"},
]


def _rows(n: int, *, seed: int = 0) -> torch.Tensor:
    return 2.0 * torch.randn(n, 7, generator=torch.Generator().manual_seed(seed)) + 0.3


def _sae(**settings: Any) -> JumpReLU:
    sae = JumpReLU(JumpReLU.Config(d_in=7, n_latents=11, **settings))
    sae.start(_rows(101, seed=1))
    stream = torch.Generator().manual_seed(2)
    with torch.no_grad():
        sae.b_enc.copy_(0.1 * torch.randn(11, generator=stream))
        sae.log_threshold.add_(0.3 * torch.randn(11, generator=stream))
        if settings.get("weight_by_decoder_norm"):
            sae.W_dec.mul_(0.5 + torch.rand(11, 1, generator=stream))
    return sae.double()


def _near(z: torch.Tensor, theta: torch.Tensor, width: torch.Tensor, kernel: str) -> torch.Tensor:
    return (_DENSITIES[kernel]((z - theta) / width) / width).detach()


def _twin(sae: JumpReLU, x: torch.Tensor) -> Parts:
    """Densely; thresholds learn from terms whose value is zero and whose slope is that of the paper's equations 11 and 12."""
    config = sae.config
    x = x * sae.input_factor
    variance = sae.input_variance
    unit = (variance / 7) ** 0.5 if config.threshold_unit == "spread" else torch.ones_like(variance)
    width = config.bandwidth * unit
    theta = sae.log_threshold.exp()
    z = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    on = (z > theta).double()

    # K((z - theta) / w) / w times what z has moved over theta: zero now
    moved = (z - z.detach() if config.window_moves == "all" else 0.0) - (theta - theta.detach())
    slope = _near(z, theta, width, config.kernel) * moved
    f = z * on + theta.detach() * slope
    learns = config.threshold_learns_from == "both"
    without = (slope + _near(z, theta, width, config.kernel) * (theta - theta.detach())) * theta.detach()
    for_reconstruction = f if learns else z * on + without
    x_hat = for_reconstruction @ sae.W_dec + sae.b_dec
    if config.penalty == "tanh":
        norms = (sae.W_dec**2).sum(1) ** 0.5 if config.weight_by_decoder_norm else 1.0
        paid = torch.tanh(config.tanh_scale * f * norms / unit).sum(1).mean()
    else:
        paid = (on + (slope if config.l0_counts == "activations" else slope * on)).sum(1).mean()
    if config.penalty == "target_l0" and config.target_l0 is not None:
        paid = (paid / config.target_l0 - 1) ** 2
    return {
        "reconstruction": ((x - x_hat) ** 2).sum(1).mean() / variance,
        "sparsity": config.strength * paid,
    }


def _gradients(sae: JumpReLU, value: torch.Tensor) -> Parts:
    sae.zero_grad()
    value.backward(retain_graph=True)
    return {name: p.grad.clone() if p.grad is not None else torch.zeros_like(p) for name, p in sae.named_parameters()}


@pytest.mark.parametrize("settings", _SETTINGS)
def test_losses_and_gradients_are_those_of_the_dense_twin(settings: dict[str, Any]) -> None:
    sae = _sae(**settings)
    x = _rows(5).double()
    ours, theirs = sae.loss(x).parts, _twin(sae, x)
    assert ours.keys() == theirs.keys()
    for name, part in ours.items():
        assert abs(part.item() - theirs[name].item()) < 1e-9
        wanted = _gradients(sae, theirs[name])
        for parameter, gradient in _gradients(sae, part).items():
            # the two kernels without an end are cut where they are below 1e-8
            assert (gradient - wanted[parameter]).abs().max().item() < 1e-9, (name, parameter)
        moved = {parameter for parameter, gradient in wanted.items() if bool(gradient.any())}
        assert moved == sae.moves[name]


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_even_densities_within_their_reach(name: KernelName) -> None:
    kernel = KERNELS[name]
    u = torch.linspace(-kernel.reach - 1, kernel.reach + 1, 400_001, dtype=torch.float64)
    density = kernel.density(u)
    assert torch.trapezoid(density, u).item() == pytest.approx(1.0, abs=1e-5)  # the rectangle's corners fall between points
    assert torch.allclose(density, kernel.density(-u), atol=1e-15)
    assert density.min().item() >= 0.0
    assert density[u.abs() > kernel.reach].max().item() < 1e-8


@pytest.mark.parametrize("name", KERNELS)
def test_the_straight_through_slope_estimates_that_of_the_expected_loss(name: KernelName) -> None:
    """z uniform on [0, 1] and theta 0.5: E 1[z > theta] falls with slope 1, E z 1[z > theta] with slope theta."""
    width = {"gaussian": 0.05, "logistic": 0.02}.get(name, 0.2)
    sae = JumpReLU(JumpReLU.Config(d_in=1, n_latents=1, kernel=name, bandwidth=width, threshold_unit="normalised",
                                   normalise=NormaliseConfig(kind="none"), sparsity_coefficient=1.0))  # fmt: skip
    state = {"W_enc": torch.ones(1, 1), "W_dec": torch.ones(1, 1), "log_threshold": torch.tensor([0.5]).log()}
    sae.load_state_dict({**sae.state_dict(), **state})
    sae.started.fill_(True)
    x = (torch.arange(10_000) + 0.5).unsqueeze(1) / 10_000
    losses = sae.loss(x)
    by_threshold = _gradients(sae, losses.parts["sparsity"])["log_threshold"].item() / 0.5
    assert by_threshold == pytest.approx(-1.0, rel=1e-3)
    assert losses.parts["sparsity"].item() == pytest.approx(0.5)
    # mean (x - x_hat)^2 = int_0^theta x^2, as what is on is explained in full: its slope is theta^2
    by_threshold = _gradients(sae, losses.parts["reconstruction"])["log_threshold"].item() / 0.5
    assert by_threshold == pytest.approx(0.25, rel=0.16)  # the window sees smaller x below: by w E|u| / 2 of them, up to 15 %


def test_at_entries_sums_the_gradient_of_each_latent() -> None:
    codes = SparseCodes.from_topk(torch.tensor([[0, 4], [4, 2], [4, 0]]), torch.ones(3, 2), 5)
    per_latent = torch.arange(5.0, requires_grad=True)
    values = at_entries(per_latent, codes)
    assert values.tolist() == [0, 4, 4, 2, 4, 0]
    (values * torch.tensor([1.0, 10.0, 100.0, 1000.0, 1e4, 1e5])).sum().backward()
    assert per_latent.grad is not None
    assert per_latent.grad.tolist() == [100_001, 0, 1000, 0, 10_110]


def test_codes_by_hand_are_strictly_above_the_threshold() -> None:
    sae = JumpReLU(JumpReLU.Config(d_in=2, n_latents=2, normalise=NormaliseConfig(kind="none"), threshold_unit="normalised"))
    state = {"W_enc": torch.eye(2), "W_dec": torch.eye(2), "log_threshold": torch.tensor([1.0, 2.0]).log()}
    sae.load_state_dict({**sae.state_dict(), **state})
    x = torch.tensor([[1.0, 5.0], [1.5, 2.0], [-3.0, 2.1]])
    assert torch.allclose(sae.encode(x).dense(), torch.tensor([[0.0, 5.0], [1.5, 0.0], [0.0, 2.1]]))


def test_thresholds_and_their_window_start_in_units_of_the_input() -> None:
    relative = _sae(start_threshold=0.5, bandwidth=3.0)
    spread = (relative.input_variance / 7).sqrt().item()
    start = JumpReLU(relative.config)
    start.start(_rows(101, seed=1))
    assert torch.allclose(start.threshold, torch.tensor(0.5 * spread))
    assert start._smoothing.width.item() == pytest.approx(3.0 * spread)
    absolute = JumpReLU(JumpReLU.Config(d_in=7, n_latents=11, threshold_unit="normalised", start_threshold=1e-3, bandwidth=1e-3))
    absolute.start(_rows(101, seed=1))
    assert torch.allclose(absolute.log_threshold, torch.tensor(1e-3).log())
    assert absolute._smoothing.width.item() == pytest.approx(1e-3)


def test_the_export_keeps_the_learned_thresholds() -> None:
    sae = _sae()
    made = sae.export()
    assert type(made) is Thresholded
    assert torch.allclose(made.threshold, sae.threshold / sae.input_factor)


@pytest.mark.parametrize("settings", [{}, {"penalty": "tanh"}, {"penalty": "target_l0", "target_l0": 3.0}])
def test_the_controller_multiplies_the_penalty_alone(settings: dict[str, Any]) -> None:
    sae = _sae(**settings)
    x = _rows(5).double()
    usual, turned = sae.loss(x).parts, sae.loss(x, Knobs(sparsity=3.0)).parts
    assert turned["sparsity"].item() == pytest.approx(3 * usual["sparsity"].item())
    assert turned["reconstruction"].item() == usual["reconstruction"].item()


def test_the_quadratic_penalty_pulls_from_both_sides() -> None:
    x = _rows(5).double()
    for target, sign in ((1.0, -1), (10.0, 1)):  # thresholds rise against the gradient
        sae = _sae(penalty="target_l0", target_l0=target)
        gradient = _gradients(sae, sae.loss(x).parts["sparsity"])["log_threshold"]
        assert (sign * gradient).min().item() >= 0
        assert bool(gradient.any())


# -- dead latents --------------------------------------------------------------------------------------------------------


def _shortfall_twin(sae: JumpReLU, x: torch.Tensor, dead: torch.Tensor) -> torch.Tensor:
    x = x * sae.input_factor
    z = (x - sae.b_dec.detach()) @ sae.W_enc[:, dead] + sae.b_enc[dead]
    norms = (sae.W_dec[dead] ** 2).sum(1) ** 0.5 if sae.config.weight_by_decoder_norm else 1.0
    missing = (sae.log_threshold[dead].exp() - z).clamp(min=0) * norms / (sae.input_variance / 7) ** 0.5
    return sae.config.pre_activation_coefficient * missing.sum(1).mean()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_pre_activation_loss_lifts_dead_latents_only(weighted: bool) -> None:
    sae = _sae(penalty="tanh", weight_by_decoder_norm=weighted, pre_activation_coefficient=0.4)
    dead = torch.tensor([2, 5, 7])
    with torch.no_grad():
        sae.b_enc[dead] = -3.0
    sae.tokens_since_fired[dead] = sae.config.dead_after_tokens
    x = _rows(5).double()
    part = sae.loss(x).parts["pre_activation"]
    theirs = _shortfall_twin(sae, x, dead)
    assert part.item() == pytest.approx(theirs.item(), abs=1e-9)
    ours, wanted = _gradients(sae, part), _gradients(sae, theirs)
    for name, gradient in ours.items():
        assert (gradient - wanted[name]).abs().max().item() < 1e-9
    assert ours["b_enc"].nonzero().squeeze(1).tolist() == dead.tolist()
    assert {name for name, gradient in ours.items() if bool(gradient.any())} == sae.moves["pre_activation"]


def test_the_pre_activation_loss_is_zero_with_nothing_dead() -> None:
    assert _sae(pre_activation_coefficient=0.4).loss(_rows(5).double()).parts["pre_activation"].item() == 0.0


# -- settings --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bandwidth": 0.0}, "bandwidth is 0.0"),
        ({"start_threshold": -1.0}, "start_threshold is -1.0"),
        ({"pre_activation_coefficient": -1.0}, "pre_activation_coefficient is -1.0"),
        ({"penalty": "target_l0"}, "set target_l0"),
        ({"penalty": "l0", "weight_by_decoder_norm": True}, "weight_by_decoder_norm is True"),
        ({"penalty": "l0", "tanh_scale": 2.0}, "tanh_scale is 2.0"),
        ({"penalty": "tanh", "l0_counts": "codes"}, "l0_counts is codes"),
        ({"sparsity_coefficient": -1.0}, "sparsity_coefficient is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        JumpReLU.Config(**settings)
