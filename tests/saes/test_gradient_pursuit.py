"""Gradient pursuit: residuals that never grow, least squares where it can be reached, and dictionaries of other SAEs."""

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.saes import SAES, NormaliseConfig
from monoseme.saes._pursuit import pursue
from monoseme.saes.gradient_pursuit import GradientPursuit
from monoseme.saes.topk import TopK

_B, _D, _F = 53, 7, 11


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _loop(x: torch.Tensor, atoms: torch.Tensor, n_steps: int) -> torch.Tensor:
    """Unit atoms, one row after the other, from the description alone."""
    rows: list[torch.Tensor] = []
    for row in x:
        code, support = torch.zeros(len(atoms), dtype=torch.float64), set[int]()
        for _ in range(n_steps):
            slopes = atoms @ (row - code @ atoms)
            free = [(float(slopes[j]), j) for j in range(len(atoms)) if j not in support and slopes[j] > 0]
            support |= {max(free)[1]} if free else set[int]()
            d = torch.zeros_like(code)
            for j in support:
                d[j] = slopes[j] if code[j] > 0 or slopes[j] > 0 else 0.0
            if not d.any():
                continue
            best = d.square().sum() / (d @ atoms).square().sum()
            following = (code + best * d).clamp(min=0)
            if (row - following @ atoms).norm() > (row - code @ atoms).norm():
                falls = [j for j in support if d[j] < 0]
                reach = min(float(code[j] / -d[j]) for j in falls)
                following = (code + reach * d).clamp(min=0)
                following[[j for j in falls if float(code[j] / -d[j]) <= reach]] = 0.0
            code = following
        rows.append(code)
    return torch.stack(rows)


@pytest.mark.parametrize(("k", "offset"), [(1, 0.0), (2, 0.0), (5, 0.0), (_F, 0.0), (8, 3.0)])
def test_agrees_with_the_loop_in_float64(k: int, offset: float) -> None:
    x, atoms = _random(_B, _D) + offset, torch.nn.functional.normalize(_random(_F, _D, seed=1) + offset, dim=1)
    assert torch.allclose(pursue(x, atoms, k=k).to_dense(), _loop(x, atoms, k), rtol=0, atol=1e-9)


def test_no_step_lets_the_residual_grow() -> None:
    """Atoms that lie close together, so that codes are cut at zero, which alone would let dozens of these residuals grow."""
    atoms, x = _random(_F, _D, seed=2) + 3, _random(997, _D) + 3
    lengths = [x.norm(dim=1)]
    for k, n_steps in [(k, k) for k in range(1, 8)] + [(8, n_steps) for n_steps in range(8, 24)]:
        codes = pursue(x, atoms, k=k, n_steps=n_steps)
        assert bool((codes.values > 0).all())
        assert codes.l0().max() <= k
        lengths.append((x - codes.to_dense() @ atoms).norm(dim=1))
    assert bool((torch.stack(lengths).diff(dim=0) <= 1e-9).all())


def test_with_every_atom_it_reaches_least_squares() -> None:
    """Fewer atoms than dimensions, all needed: the free least squares solution is positive, and it is found."""
    atoms, wanted = torch.nn.functional.normalize(_random(5, _D, seed=3), dim=1), _random(_B, 5).abs() + 0.5
    noise = _random(_B, _D, seed=4)
    x = wanted @ atoms + noise - noise @ torch.linalg.pinv(atoms) @ atoms  # noise outside the span of the atoms
    for n_steps in (1200, 1600):  # steepest descent with a condition of about 18; and it stays where it has arrived
        assert torch.allclose(pursue(x, atoms, k=5, n_steps=n_steps).to_dense(), wanted, rtol=0, atol=1e-6)


def test_orthogonal_atoms_are_found_at_once_and_negative_parts_left_out() -> None:
    atoms = 3.0 * torch.eye(4, dtype=torch.float64)
    x = torch.tensor([[3.0, -6.0, 1.5, 0.0]], dtype=torch.float64)
    codes = pursue(x, atoms, k=4)
    assert codes.indices.tolist() == [0, 2]
    assert torch.allclose(codes.values, torch.tensor([1.0, 0.5]).double())


def test_the_length_of_atoms_does_not_matter() -> None:
    x, atoms, lengths = _random(_B, _D), _random(_F, _D, seed=1), _random(_F, seed=5).abs() + 0.2
    long = pursue(x, atoms * lengths.unsqueeze(1), k=3).to_dense()
    assert torch.allclose(long * lengths, pursue(x, atoms, k=3).to_dense(), rtol=0, atol=1e-9)


def test_gradient_in_all_it_is_given() -> None:
    inputs = (_random(3, _D).requires_grad_(), _random(_F, _D, seed=1).requires_grad_(), _random(_D, seed=6).requires_grad_())
    assert torch.autograd.gradcheck(lambda x, w, b: pursue(x, w, b, k=3, n_steps=5).to_dense(), inputs)


def _trained(normalise: str) -> TopK:
    sae = TopK(TopK.Config(d_in=_D, n_latents=_F, k=3, normalise=NormaliseConfig(kind=normalise)))  # pyright: ignore[reportArgumentType]
    data = 3 * _random(101, _D, seed=7).float() + 1
    sae.start(data)
    optimiser = torch.optim.Adam(sae.parameters(), lr=1e-2)
    for _ in range(50):
        optimiser.zero_grad()
        losses = sae.loss(data)
        losses.total.backward()
        optimiser.step()
        sae.after_step(losses)
    return sae


@pytest.mark.parametrize("normalise", ["unit_mean_square", "standardise"])
def test_the_dictionary_of_a_trained_sae_is_used_better_than_its_encoder_does(normalise: str) -> None:
    sae = _trained(normalise)
    searched = GradientPursuit.of(sae, k=3, n_refinements=10)
    x = 3 * _random(101, _D, seed=7).float() + 1
    with torch.no_grad():
        assert (x - searched(x)).square().sum() < 0.9 * (x - sae(x)).square().sum()
    assert torch.equal(searched.W_dec, sae.W_dec)
    assert searched.encode(x).sparse().l0().max() <= 3
    assert bool(searched.started)
    searched.loss(x).total.backward()  # it can learn on


def test_what_has_no_dictionary_of_single_vectors_is_refused() -> None:
    mlsae = SAES.get("mlsae")
    sae = mlsae(mlsae.Config(d_in=_D, n_latents=_F, k=2, n_sites=2))  # pyright: ignore[reportCallIssue]
    with pytest.raises(ConfigError, match="no one dictionary"):
        GradientPursuit.of(sae, k=2)


@pytest.mark.parametrize(("k", "n_steps"), [(0, None), (_F + 1, None), (3, 2)])
def test_numbers_that_cannot_be(k: int, n_steps: int | None) -> None:
    with pytest.raises(ConfigError, match="k is"):
        pursue(_random(2, _D), _random(_F, _D), k=k, n_steps=n_steps)


def test_refinements_cannot_be_negative() -> None:
    with pytest.raises(ConfigError, match="n_refinements is -1"):
        GradientPursuit.Config(d_in=_D, n_refinements=-1)
