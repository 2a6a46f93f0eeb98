"""Matching pursuit: its steps, its early stop, and its gradient, against a loop written out in float64."""

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.saes import Knobs, NormaliseConfig
from monoseme.saes._greedy import Rules, greedy_codes
from monoseme.saes.matching_pursuit import MatchingPursuit

_B, _D, _F = 5, 7, 11
_NO_RULES = Rules()


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _atoms(seed: int = 1) -> torch.Tensor:
    return torch.nn.functional.normalize(_random(_F, _D, seed=seed), dim=1)


def _loop(
    x: torch.Tensor, atoms: torch.Tensor, k: int, *, step: float = 1.0, stop_below: float = 0.0, rules: Rules = _NO_RULES
) -> torch.Tensor:
    """Row by row and step by step, with plain autograd."""
    rows: list[torch.Tensor] = []
    for row in x:
        code, residual = atoms.new_zeros(_F), row
        for _ in range(k):
            if residual.norm() <= stop_below * row.norm():
                break
            products = atoms @ residual
            best = int(products.argmax())
            if rules.positive and not products[best] > 0:
                break
            had = bool(code[best] != 0)
            code = code + step * products[best] * torch.nn.functional.one_hot(torch.tensor(best), _F)
            residual = residual - step * products[best] * atoms[best]
            if (rules.at_repeat and had) or residual.norm() < rules.stop_norm:
                break
        rows.append(code)
    return torch.stack(rows)


@pytest.mark.parametrize(("k", "step", "stop_below"), [(1, 1.0, 0.0), (4, 1.0, 0.0), (9, 0.3, 0.0), (9, 1.0, 0.5), (6, 0.3, 0.6)])
def test_codes_and_gradients_are_those_of_the_loop(k: int, step: float, stop_below: float) -> None:
    upstream = _random(_B, _F, seed=2)
    grads: list[tuple[torch.Tensor, ...]] = []
    codes: list[torch.Tensor] = []
    for ours in (True, False):
        x, atoms = _random(_B, _D).requires_grad_(), _atoms().requires_grad_()
        if ours:
            code = greedy_codes(x, atoms, k, step=step, stop_below=stop_below).to_dense()
        else:
            code = _loop(x, atoms, k, step=step, stop_below=stop_below)
        codes.append(code)
        grads.append(torch.autograd.grad((code * upstream).sum(), (x, atoms)))
    assert torch.allclose(codes[0], codes[1], rtol=0, atol=1e-9)
    for ours, theirs in zip(*grads, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)


def test_an_atom_chosen_again_adds_to_its_one_entry() -> None:
    x, atoms = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    codes = greedy_codes(x, atoms, 3, step=0.5)
    assert codes.indices.tolist() == [0]
    assert codes.values.tolist() == [0.875]  # 1/2 + 1/4 + 1/8


def test_by_hand() -> None:
    atoms = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    codes = greedy_codes(torch.tensor([[1.0, 2.0]]), atoms, 2)
    # products 1, 2.2, 2: atom 1 takes 2.2, residual (-0.32, 0.24); then products -0.32, 0, 0.24: atom 2
    assert torch.allclose(codes.to_dense(), torch.tensor([[0.0, 2.2, 0.24]]))


def test_each_step_shortens_the_residual() -> None:
    x, atoms = _random(_B, _D), _atoms()
    lengths = torch.stack([(x - greedy_codes(x, atoms, k).to_dense() @ atoms).norm(dim=1) for k in range(1, 10)])
    assert bool((lengths.diff(dim=0) < 0).all())


def test_rules_end_the_steps_of_a_row_by_hand() -> None:
    # products 1, 2.2, 2: atom 1 takes 2.2 and leaves (-0.32, 0.24), of norm 0.4; atom 2 takes 0.24 and leaves (-0.32, 0)
    atoms, x = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), torch.tensor([[1.0, 2.0]])
    for rules, wanted in [
        (Rules(positive=True), [0.0, 2.2, 0.24]),  # then 0 is the largest product
        (Rules(stop_norm=0.41), [0.0, 2.2, 0.0]),
        (Rules(stop_norm=0.39, positive=True), [0.0, 2.2, 0.24]),
    ]:
        assert torch.allclose(greedy_codes(x, atoms, 3, rules=rules).to_dense(), torch.tensor([wanted]), atol=1e-6), rules
    # with half steps atom 1 is taken three times running unless a repeat ends it, which comes after its value is added
    twice = greedy_codes(x, atoms[1:2], 3, step=0.5, rules=Rules(at_repeat=True)).to_dense()
    assert twice.item() == pytest.approx(1.65)
    against = greedy_codes(-x, atoms, 3, rules=Rules(positive=True))
    assert against.values.abs().sum().item() == 0.0


@pytest.mark.parametrize(
    "rules", [Rules(at_repeat=True), Rules(stop_norm=1.5), Rules(positive=True, at_repeat=True, stop_norm=0.5)]
)
def test_rows_that_rules_have_ended_have_the_codes_and_gradients_of_the_loop(rules: Rules) -> None:
    x, atoms, upstream = _random(_B, _D).requires_grad_(), _atoms().requires_grad_(), _random(_B, _F, seed=2)
    ours, theirs = greedy_codes(x, atoms, 9, rules=rules).to_dense(), _loop(x, atoms, 9, rules=rules)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)
    assert not torch.allclose(ours, greedy_codes(x, atoms, 9).to_dense(), rtol=0, atol=1e-3)
    grads = [torch.autograd.grad((code * upstream).sum(), (x, atoms)) for code in (ours, theirs)]
    for one, other in zip(*grads, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-9)


def test_the_norm_at_which_a_token_is_done_survives_export() -> None:
    sae = _built(stop_norm=0.4, k=9)
    x = 3 * _random(31, _D, seed=4) + 1
    exported = sae.export()
    assert torch.allclose(exported.encode(x).dense(), sae.encode(x).dense(), rtol=0, atol=1e-9)
    without = _built(k=9).encode(x).sparse()
    assert sae.encode(x).sparse().nnz < without.nnz


def _built(**settings: float) -> MatchingPursuit:
    sae = MatchingPursuit(MatchingPursuit.Config(d_in=_D, n_latents=_F, **settings)).double()  # pyright: ignore[reportArgumentType]
    sae.start(3 * _random(101, _D, seed=3) + 1)
    return sae


def test_rows_stop_when_their_residual_is_small() -> None:
    sae, x = _built(k=_F, stop_below=0.6), 3 * _random(53, _D) + 1
    left = torch.ones(53)
    for k in range(1, 6):
        now, following = _at(sae, k, x), _at(sae, k + 1, x)
        left = (x - now).norm(dim=1) / (x - sae.b_dec / sae.input_factor).norm(dim=1)
        assert torch.equal((now == following).all(1), left <= 0.6)
    assert 0 < (left <= 0.6).sum() < len(x)


def _at(sae: MatchingPursuit, k: int, x: torch.Tensor) -> torch.Tensor:
    """x_hat after k steps."""
    sae.use_k(k)
    return sae(x)


def test_k_bounds_the_latents_and_knobs_change_it() -> None:
    sae, x = _built(k=3), _random(_B, _D)
    assert sae.encode(x).sparse().l0().max() <= 3
    losses = sae.loss(x, Knobs(k=1))
    assert losses.active is not None
    assert losses.active.l0().tolist() == [1] * _B
    sae.use_k(1)
    assert sae.encode(x).sparse().l0().tolist() == [1] * _B
    assert MatchingPursuit.Config(d_in=_D, target_l0=20.0).k == 20


def test_a_parent_and_its_child_are_both_found_where_one_shot_takes_a_neighbour() -> None:
    """x = parent + small child; an atom between them has a larger product with x than the child has."""
    atoms = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.3, 0.3], [0.0, 1.0, 0.0]]), dim=1).double()
    x = torch.tensor([[2.0, 0.5, 0.0]], dtype=torch.float64)
    assert (x @ atoms.T).topk(2).indices.sort().values.tolist() == [[0, 1]]
    assert greedy_codes(x, atoms, 2).indices.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("settings", "complaint"), [({"step": 2.0}, "step is 2"), ({"stop_below": 1.0}, "stop_below"), ({"k": 0}, "k is 0")]
)
def test_settings_that_cannot_be(settings: dict[str, float], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        MatchingPursuit.Config(d_in=_D, normalise=NormaliseConfig(kind="none"), **settings)  # pyright: ignore[reportArgumentType]
