"""ReLU against a dense float64 twin, the level of an annealed penalty, ghost gradients, what settings are refused."""

from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.saes import Knobs, NormaliseConfig
from monoseme.saes._penalty import level
from monoseme.saes.relu import ReLU
from monoseme.tensors.sparse import SparseCodes

Parts = dict[str, torch.Tensor]
_EPS = 1e-3
_SETTINGS: list[dict[str, Any]] = [
    {},
    {"sparsity_coefficient": 0.7, "normalise": NormaliseConfig(kind="none")},
    {"p": 0.5},
    {"p": 0.3, "lp_form": "norm"},
    {"weight_by_decoder_norm": True},
    {"weight_by_decoder_norm": True, "p": 0.6, "lp_form": "norm"},
]


def _rows(n: int, *, seed: int = 0) -> torch.Tensor:
    return 2.0 * torch.randn(n, 7, generator=torch.Generator().manual_seed(seed)) + 0.3


def _sae(**settings: Any) -> ReLU:
    sae = ReLU(ReLU.Config(d_in=7, n_latents=11, **settings))
    sae.start(_rows(101, seed=1))
    stream = torch.Generator().manual_seed(2)
    with torch.no_grad():
        sae.b_enc.copy_(0.1 * torch.randn(11, generator=stream))
        if settings.get("weight_by_decoder_norm"):
            sae.W_dec.mul_(0.5 + torch.rand(11, 1, generator=stream))
    return sae.double()


def _twin(sae: ReLU, x: torch.Tensor) -> Parts:
    """The loss from its formula, densely."""
    config = sae.config
    x = x * sae.input_factor
    f = ((x - sae.b_dec) @ sae.W_enc + sae.b_enc).clamp(min=0)
    variance = sae.input_variance
    a = f / variance**0.5
    if config.weight_by_decoder_norm:
        a = a * (sae.W_dec**2).sum(1) ** 0.5
    # a latent that is off adds 0 and has no gradient
    powers = a if config.p == 1 else torch.where(a > 0, (a + _EPS) ** config.p - _EPS**config.p, 0.0)
    rows = powers.sum(1) if config.lp_form == "power" else powers.sum(1) ** (1 / config.p)
    x_hat = f @ sae.W_dec + sae.b_dec
    return {
        "reconstruction": ((x - x_hat) ** 2).sum(1).mean() / variance,
        "sparsity": config.sparsity_coefficient * rows.mean(),
    }


def _gradients(sae: ReLU, value: torch.Tensor) -> Parts:
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


def test_codes_and_reconstruction_by_hand() -> None:
    sae = ReLU(ReLU.Config(d_in=2, n_latents=3, normalise=NormaliseConfig(kind="none"), sparsity_coefficient=1.0))
    axes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    state = {"W_dec": axes, "W_enc": axes.t(), "b_enc": torch.tensor([-0.5, 0.0, 0.0]), "b_dec": torch.tensor([1.0, 0.0])}
    sae.load_state_dict({**sae.state_dict(), **state})
    sae.started.fill_(True)
    x = torch.tensor([[4.0, 2.0], [0.0, -5.0]])  # centred: (3, 2), (-1, -5)
    assert sae.encode(x).dense().tolist() == [[2.5, 2, 0], [0, 0, 1]]
    losses = sae.loss(x)
    assert losses.parts["reconstruction"].item() == pytest.approx((0.25 + 25) / 2)
    assert losses.parts["sparsity"].item() == pytest.approx((4.5 + 1) / 2)


def test_the_controller_multiplies_the_penalty_alone() -> None:
    sae = _sae()
    x = _rows(5).double()
    usual, turned = sae.loss(x).parts, sae.loss(x, Knobs(sparsity=3.0)).parts
    assert turned["sparsity"].item() == pytest.approx(3 * usual["sparsity"].item())
    assert turned["reconstruction"].item() == usual["reconstruction"].item()


def test_the_penalty_does_not_depend_on_the_scale_or_the_mean_of_the_input() -> None:
    small, large = _sae(), _sae()
    offset = torch.linspace(5, 11, 7)
    large.start(30 * _rows(101, seed=1) + offset)
    ratio = (large.input_variance / small.input_variance).sqrt()  # of the normalised spaces: the mean takes part of the square
    with torch.no_grad():
        large.b_enc.copy_(small.b_enc * ratio)
        large.b_dec.copy_(small.b_dec * ratio + offset * large.input_factor)
    x = _rows(5).double()
    ours, theirs = small.loss(x).parts, large.loss(30 * x + offset).parts
    for name, part in ours.items():
        assert theirs[name].item() == pytest.approx(part.item(), rel=1e-5)  # scales were measured in float32


# -- annealing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["power", "norm"])
def test_the_penalty_stays_level_while_p_moves(form: str) -> None:
    sae = _sae(p_end=0.2, anneal_from=0.2, anneal_to=0.8, lp_form=form)
    x = _rows(53).double()
    before = sae.loss(x).parts["sparsity"].item()
    for progress in (0.0, 0.2, 0.21, 0.4, 0.6, 0.8, 1.0):
        losses = sae.loss(x, Knobs(progress=progress))
        assert losses.parts["sparsity"].item() == pytest.approx(before, rel=1e-9)
        wanted = 1 - 0.8 * min(1.0, max(0.0, (progress - 0.2) / 0.6))
        assert losses.logs["p"].item() == pytest.approx(wanted)
        sae.after_step(losses)
        assert sae.penalty.p.item() == pytest.approx(wanted)
    # the same weights and rows all along: the factor has made up for the whole change of the penalty
    assert sae.penalty.factor.item() * losses.logs["lp"].item() == pytest.approx(losses.logs["l1"].item(), rel=1e-6)


def test_annealing_goes_on_from_a_saved_state() -> None:
    sae = _sae(p_end=0.2)
    sae.after_step(sae.loss(_rows(5).double(), Knobs(progress=0.6)))
    again = _sae(p_end=0.2)
    again.load_state_dict(sae.state_dict())
    knobs = Knobs(progress=0.7)
    assert torch.equal(again.loss(_rows(5).double(), knobs).total, sae.loss(_rows(5).double(), knobs).total)
    assert sae.penalty.factor.item() != 1.0


def test_a_loss_that_is_not_followed_by_a_step_changes_nothing() -> None:
    sae = _sae(p_end=0.2)
    before = {name: tensor.clone() for name, tensor in sae.state_dict().items()}
    sae.loss(_rows(5).double(), Knobs(progress=0.6))
    assert all(torch.equal(tensor, before[name]) for name, tensor in sae.state_dict().items())


@pytest.mark.parametrize("form", ["power", "norm"])
def test_annealed_gradients_are_those_of_lp_times_the_factor(form: str) -> None:
    sae = _sae(p_end=0.5, anneal_from=0.0, anneal_to=0.5, lp_form=form)
    x = _rows(5).double()
    losses = sae.loss(x, Knobs(progress=0.5))
    fixed = _sae(p=0.5, lp_form=form)
    wanted = _gradients(fixed, _twin(fixed, x)["sparsity"] * losses.logs["p_factor"])
    for name, gradient in _gradients(sae, losses.parts["sparsity"]).items():
        assert (gradient - wanted[name]).abs().max().item() < 1e-9


def test_lp_is_near_the_pure_power_and_finite_in_slope_at_zero() -> None:
    a = torch.tensor([1e-30, 0.04, 0.9], dtype=torch.float64, requires_grad=True)
    codes = SparseCodes.from_topk(torch.tensor([[0, 1, 2]]), a.reshape(1, 3), 11)
    paid = level(codes, 0.5, "power")
    assert paid.item() == pytest.approx(0.2 + 0.9**0.5, rel=0.06)  # eps takes sqrt(eps) = 0.03 off each
    paid.backward()
    assert a.grad is not None
    assert a.grad[0].item() == pytest.approx(0.5 * _EPS**-0.5)


@pytest.mark.parametrize("form", ["power", "norm"])
def test_rows_without_codes_pay_nothing(form: str) -> None:
    sae = _sae(p=0.5, lp_form=form)
    with torch.no_grad():
        sae.b_enc.fill_(-100.0)
    losses = sae.loss(_rows(5).double())
    losses.total.backward()
    assert losses.parts["sparsity"].item() == 0.0
    assert all(bool(p.grad.isfinite().all()) for p in sae.parameters() if p.grad is not None)


# -- ghost gradients -----------------------------------------------------------------------------------------------------


def _ghost_twin(sae: ReLU, x: torch.Tensor, dead: torch.Tensor) -> torch.Tensor:
    x = x * sae.input_factor
    f = ((x - sae.b_dec) @ sae.W_enc + sae.b_enc).clamp(min=0)
    e = (x - f @ sae.W_dec - sae.b_dec).detach()
    z = (x - sae.b_dec.detach()) @ sae.W_enc[:, dead] + sae.b_enc[dead]
    g = z.exp() @ sae.W_dec[dead]
    s = (e.norm(dim=1) / (2 * g.norm(dim=1))).detach()
    term = ((e - s[:, None] * g) ** 2).sum(1).mean()
    size = (e**2).sum(1).mean() / sae.input_variance
    return sae.config.ghost_coefficient * term * (size / term).detach()


def test_ghost_gradients_are_those_of_the_dense_twin_and_move_only_the_dead() -> None:
    sae = _sae(ghost_coefficient=0.3)
    dead = torch.tensor([2, 5, 7])
    with torch.no_grad():
        sae.b_enc[dead] = -3.0
    sae.tokens_since_fired[dead] = sae.config.dead_after_tokens
    x = _rows(5).double()
    losses = sae.loss(x)
    assert losses.parts["ghost"].item() == pytest.approx(0.3 * losses.parts["reconstruction"].item())
    wanted = _gradients(sae, _ghost_twin(sae, x, dead))
    ours = _gradients(sae, losses.parts["ghost"])
    for name, gradient in ours.items():
        assert (gradient - wanted[name]).abs().max().item() < 1e-9
    moved = ours["W_dec"].any(1)
    assert moved.nonzero().squeeze(1).tolist() == dead.tolist()
    assert not ours["b_dec"].any()


def test_ghost_is_zero_with_nothing_dead() -> None:
    sae = _sae(ghost_coefficient=0.3)
    losses = sae.loss(_rows(5).double())
    assert losses.parts["ghost"].item() == 0.0
    assert losses.total.item() == losses.parts["reconstruction"].item() + losses.parts["sparsity"].item()


def test_ghost_is_no_part_when_off() -> None:
    assert set(_sae().loss(_rows(5).double()).parts) == {"reconstruction", "sparsity"}


# -- settings --------------------------------------------------------------------------------------------------------------


def test_decoder_norms_are_free_where_they_weigh_the_penalty() -> None:
    sae = _sae(weight_by_decoder_norm=True)
    norms = sae.W_dec.norm(dim=1)
    sae.after_step(sae.loss(_rows(5).double()))
    assert torch.equal(sae.W_dec.norm(dim=1), norms)
    assert (norms - 1).abs().max().item() > 0.1


def test_a_latent_twice_as_long_and_half_as_strong_pays_the_same() -> None:
    sae = _sae(weight_by_decoder_norm=True)
    x = _rows(5).double()
    before = sae.loss(x).parts
    with torch.no_grad():
        sae.W_dec.mul_(2)
        sae.W_enc.div_(2)
        sae.b_enc.div_(2)
    for name, part in sae.loss(x).parts.items():
        assert part.item() == pytest.approx(before[name].item(), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sparsity_coefficient": -1.0}, "sparsity_coefficient is -1"),
        ({"p": 0.0}, "p is 0.0"),
        ({"p_end": 2.0}, "p_end is 2.0"),
        ({"p_end": 0.5, "anneal_from": 0.7, "anneal_to": 0.7}, "anneal_from is 0.7"),
        ({"anneal_to": 0.7}, "set p_end"),
        ({"ghost_coefficient": -0.1}, "ghost_coefficient is -0.1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReLU.Config(**settings)
