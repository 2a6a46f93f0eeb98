"""SpaDE and sparsemax: projection on the simplex against a slow twin, distances, and what does not matter to a code."""

from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.kernels import Encoder, kernels_named
from monoseme.saes import Knobs, NormaliseConfig
from monoseme.saes._sparsemax import sparsemax_encode, sparsemax_threshold
from monoseme.saes.spade import SpaDE

_B, _D, _F = 5, 7, 11


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _projection(z: torch.Tensor) -> torch.Tensor:
    """The nearest point of the simplex to one row, by bisection on the threshold."""
    low, high = z.min() - 1, z.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (z - middle).clamp(min=0).sum() > 1 else (low, middle)
    return (z - (low + high) / 2).clamp(min=0)


def _mixture(z: torch.Tensor) -> torch.Tensor:
    """Sparsemax of a matrix, by way of the identity as the encoder."""
    identity = Encoder(torch.eye(z.shape[1], dtype=z.dtype), z.new_zeros(z.shape[1]))
    return sparsemax_encode(z, identity, kernels_named("torch")).codes.to_dense()


@pytest.mark.parametrize("spread", [0.01, 0.3, 3.0, 100.0])
def test_sparsemax_is_the_projection_on_the_simplex(spread: float) -> None:
    z = spread * _random(_B, _F) + 50
    wanted = torch.stack([_projection(row) for row in z])
    assert torch.allclose(_mixture(z), wanted, rtol=0, atol=1e-9)
    assert torch.allclose((z - sparsemax_threshold(z).unsqueeze(1)).clamp(min=0).sum(1), torch.ones(_B).double())


def test_sparsemax_by_hand() -> None:
    z = torch.tensor([[1.0, 0.5, -1.0], [3.0, 0.0, 0.0], [0.2, 0.2, 0.2]], dtype=torch.float64)
    wanted = torch.tensor([[0.75, 0.25, 0.0], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
    assert torch.allclose(_mixture(z), wanted, rtol=0, atol=1e-12)


def test_gradient_of_sparsemax_is_the_centred_one_on_the_support() -> None:
    z, upstream = (0.5 * _random(_B, _F)).requires_grad_(), _random(_B, _F, seed=1)
    p = _mixture(z)
    (p * upstream).sum().backward()
    on = (p > 0).double()
    assert 1 < on.sum() / _B < _F
    wanted = on * (upstream - (upstream * on).sum(1, keepdim=True) / on.sum(1, keepdim=True))
    assert z.grad is not None
    assert torch.allclose(z.grad, wanted, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(_mixture, (z,))


def _built(**settings: Any) -> SpaDE:
    sae = SpaDE(SpaDE.Config(d_in=_D, n_latents=_F, normalise=NormaliseConfig(kind="none"), **settings)).double()
    sae.start(_random(101, _D, seed=2))
    return sae


def test_agrees_with_distances_written_out_in_float64() -> None:
    sae, x = _built(scale_start=0.7, sparsity_coefficient=0.3), _random(_B, _D)
    distances = torch.stack([torch.stack([(row - a).square().sum() for a in sae.W_enc.T]) for row in x])
    p = torch.stack([_projection(-0.7 * row) for row in distances])
    assert sae.scale.item() == pytest.approx(0.7)
    assert torch.allclose(sae.encode(x).dense(), p, rtol=0, atol=1e-7)  # scale_pre was rounded to float32
    losses = sae.loss(x, Knobs(sparsity=2.0))
    wanted = 2.0 * 0.3 * (p * distances).sum(1).mean() / sae.input_variance
    assert losses.parts["sparsity"].item() == pytest.approx(wanted.item(), rel=1e-6)
    assert torch.allclose(losses.x_hat, p @ sae.W_dec, rtol=0, atol=1e-6)


def test_twin_in_float64_to_the_ninth_digit() -> None:
    sae, x = _built(), _random(_B, _D)
    with torch.no_grad():
        scale = torch.log1p(sae.scale_pre.exp())
    p = torch.stack([_projection(-scale * (row - sae.W_enc.T).square().sum(1)) for row in x])
    assert torch.allclose(sae.encode(x).dense(), p, rtol=0, atol=1e-9)
    assert torch.allclose(sae(x), p @ sae.W_dec, rtol=0, atol=1e-9)


def test_codes_sum_to_one_and_moving_origin_and_prototypes_together_changes_nothing() -> None:
    sae, x = _built(), _random(_B, _D)
    codes = sae.encode(x).dense()
    assert torch.allclose(codes.sum(1), torch.ones(_B).double())
    shift = _random(_D, seed=3)
    with torch.no_grad():
        sae.W_enc.add_(shift.unsqueeze(1))
    assert torch.allclose(sae.encode(x + shift).dense(), codes, rtol=0, atol=1e-9)


def test_the_nearest_prototype_takes_all_when_the_scale_is_large() -> None:
    sae, x = _built(scale_start=1e4), _random(_B, _D)
    nearest = (x.unsqueeze(1) - sae.W_enc.T).norm(dim=2).argmin(1)
    codes = sae.encode(x).sparse()
    assert codes.indices.tolist() == nearest.tolist()
    assert torch.allclose(codes.values, torch.ones(_B).double())


def test_a_larger_penalty_draws_prototypes_nearer() -> None:
    x, spread = _random(64, _D), []
    for coefficient in (0.0, 3.0):
        sae = _built(sparsity_coefficient=coefficient)
        optimiser = torch.optim.Adam(sae.parameters(), lr=2e-2)
        for _ in range(40):
            optimiser.zero_grad()
            sae.loss(x).total.backward()
            optimiser.step()
        spread.append(sae.loss(x).logs["spread"].item())
    assert spread[1] < 0.9 * spread[0]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"scale_start": 0.0}, "scale_start"), ({"decoder_start": -1.0}, "decoder_start"), ({"b_dec_start": "mean"}, "no bias"),
     ({"sparsity_coefficient": -0.1}, "sparsity_coefficient")],
)  # fmt: skip
def test_settings_that_cannot_be(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        SpaDE.Config(d_in=_D, **settings)
