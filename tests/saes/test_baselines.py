"""identity, pca and random: what each is, and that none of them is trained."""

from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.saes import SAE, NormaliseConfig
from monoseme.saes.identity import Identity
from monoseme.saes.pca import PCA
from monoseme.saes.random import Random

D, F, K = 7, 11, 3
_BASELINES = (Identity, PCA, Random)


def _x(n: int = 5, *, seed: int = 0) -> torch.Tensor:
    """Columns of unlike variance that are correlated, off zero, float64."""
    stream = torch.Generator().manual_seed(seed)
    mix = torch.randn(D, D, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return torch.randn(n, D, generator=stream, dtype=torch.float64) @ mix + torch.arange(D)


def _started(architecture: type[SAE], **settings: Any) -> SAE:
    sae = architecture(architecture.Config(d_in=D, **settings)).double()
    sae.start(_x(200, seed=1))
    return sae


def _fvu(sae: SAE, x: torch.Tensor) -> float:
    return float((x - sae(x)).square().sum() / (x - x.mean(0)).square().sum())


@pytest.mark.parametrize("architecture", _BASELINES)
def test_a_baseline_has_nothing_to_train(architecture: type[SAE]) -> None:
    sae = _started(architecture)
    assert not any(parameter.requires_grad for parameter in sae.parameters())
    losses = sae.loss(_x())
    assert not losses.total.requires_grad
    before = {name: tensor.clone() for name, tensor in sae.state_dict().items()}
    sae.project_gradients()
    sae.after_step(losses)
    changed = {name for name, tensor in sae.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed <= {"tokens_since_fired"}


@pytest.mark.parametrize("kind", ["none", "unit_mean_square", "standardise"])
def test_identity_gives_everything_back_from_centred_coordinates(kind: Any) -> None:
    sae, x = _started(Identity, normalise=NormaliseConfig(kind=kind)), _x()
    assert torch.allclose(sae(x), x, rtol=0, atol=1e-12)
    assert sae.loss(x).total.item() == pytest.approx(0.0, abs=1e-24)
    if sae.config.normalise.folds:
        assert torch.allclose(sae.encode(x).dense(), x - sae.b_dec / sae.input_factor, rtol=0, atol=1e-12)


def test_identity_has_one_latent_per_dimension_whatever_the_default() -> None:
    assert Identity(Identity.Config(d_in=D)).n_latents == D
    with pytest.raises(ConfigError, match="n_latents is 3; identity has one latent per dimension, 7"):
        Identity.Config(d_in=D, n_latents=3)
    with pytest.raises(ConfigError, match=r"target_l0 is 5\.0"):
        Identity.Config(target_l0=5.0)


def test_components_are_those_of_the_singular_values_by_falling_variance() -> None:
    sae, sample = _started(PCA, normalise=NormaliseConfig(kind="none")), _x(200, seed=1)
    centred = sample - sample.mean(0)
    _, sizes, vectors = torch.linalg.svd(centred, full_matrices=False)
    assert torch.allclose((sae.W_dec * vectors).sum(1).abs(), torch.ones(D, dtype=torch.float64), atol=1e-9)
    variances = sae.encode(sample).dense().square().sum(0)
    assert torch.allclose(variances, sizes.square(), rtol=1e-9)
    assert torch.allclose(sae.W_dec @ sae.W_dec.t(), torch.eye(D, dtype=torch.float64), atol=1e-9)


def test_all_components_give_everything_back_and_fewer_what_their_variance_is_worth() -> None:
    sample = _x(200, seed=1)
    assert _fvu(_started(PCA), sample) == pytest.approx(0.0, abs=1e-20)
    sizes = torch.linalg.svdvals(sample - sample.mean(0)).square()
    for n in (2, 5):
        sae = _started(PCA, n_latents=n)
        assert sae.n_latents == n
        assert _fvu(sae, sample) == pytest.approx(float(sizes[n:].sum() / sizes.sum()), rel=1e-9)
        assert sae.loss(sample).total.item() == pytest.approx(_fvu(sae, sample), rel=1e-9)


def test_pca_keeps_the_k_projections_that_are_largest_in_size_with_their_sign() -> None:
    x = _x()
    whole, sparse = _started(PCA).encode(x).dense(), _started(PCA, k=K).encode(x).dense()
    for row, kept in zip(whole.tolist(), sparse.tolist(), strict=True):
        largest = sorted(range(D), key=lambda j: -abs(row[j]))[:K]
        assert kept == pytest.approx([value if j in largest else 0.0 for j, value in enumerate(row)])
    assert sparse.lt(0).any()


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"k": 8}, "k is 8; it must be from 1 to n_latents = 7"), ({"b_dec_start": "zeros"}, 'b_dec_start is "zeros"')],
)
def test_settings_of_pca_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PCA.Config(d_in=D, **settings)


def test_random_reads_and_writes_with_one_fixed_dictionary() -> None:
    sae = _started(Random, n_latents=F, k=K, fit_size=False)
    x = _x()
    assert torch.equal(sae.W_enc, sae.W_dec.t())
    assert torch.allclose(sae.W_dec.norm(dim=1), torch.ones(F, dtype=torch.float64), atol=1e-6)
    pre = (x * sae.input_factor - sae.b_dec) @ sae.W_dec.t()
    top = pre.topk(K, dim=1)
    wanted = torch.zeros_like(pre).scatter(1, top.indices, top.values.relu()) / sae.input_factor
    assert torch.allclose(sae.encode(x).dense(), wanted, rtol=0, atol=1e-9)
    other = Random(Random.Config(d_in=D, n_latents=F, k=K, seed=1))
    assert not torch.equal(sae.W_dec.float(), other.W_dec)


def test_the_fitted_size_is_the_best_single_number() -> None:
    sample = _x(200, seed=1)
    fitted, plain = (_started(Random, n_latents=F, k=K, fit_size=fit) for fit in (True, False))
    best = _fvu(fitted, sample)
    assert best < min(1.0, _fvu(plain, sample))
    size = fitted.get_buffer("size")
    for factor in (0.99, 1.01):
        moved = _started(Random, n_latents=F, k=K)
        moved.get_buffer("size").copy_(size * factor)
        assert _fvu(moved, sample) > best


def test_the_ceiling_lies_below_the_floor() -> None:
    x = _x(200, seed=2)
    identity, pca, random = (_fvu(_started(a, **s), x) for a, s in ((Identity, {}), (PCA, {"k": K}), (Random, {"k": K})))
    assert identity < pca < random < 1
