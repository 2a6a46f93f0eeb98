"""Thresholds of single latents over several sites: on activations, not on what they write; the same after export."""

from typing import Any

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.saes import build, load_sae, save_sae
from monoseme.saes._sites import SitesSAE
from monoseme.saes.clt import CLT
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.transcoder import Transcoder
from monoseme.testing import SAE_CHECKS, subject_of
from monoseme.testing.conformance import Check

D, F, B = 7, 11, 13
CONFIGS: dict[str, Any] = {
    "transcoder": Transcoder.Config(d_in=D, n_latents=F, n_sites=2, codes="threshold"),
    "skip": Transcoder.Config(d_in=D, n_latents=F, n_sites=2, codes="threshold", skip=True),
    "crosscoder": Crosscoder.Config(d_in=D, n_latents=F, n_sites=3, codes="threshold", seed=1),
    "clt": CLT.Config(d_in=D, n_latents=F, n_sites=4, codes="threshold"),
}


def _sites(n: int, n_sites: int, *, seed: int = 0) -> Tensor:
    """[n, n_sites, D], each on a scale of its own."""
    x = torch.randn(n, n_sites, D, generator=torch.Generator().manual_seed(seed)) + 0.5
    return x * torch.tensor([3.0, 0.2, 40.0, 0.1])[:n_sites].reshape(-1, 1)


def _made(name: str) -> SitesSAE:
    """Started, in float64, with decoder norms and thresholds that differ from latent to latent."""
    config = CONFIGS[name]
    sae: Any = build(config).double()
    sae.start(_sites(101, config.n_sites, seed=1))
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        for dictionary in sae.dictionaries():
            dictionary.W_dec.mul_(torch.linspace(0.3, 2.0, F).unsqueeze(1))
        sae.threshold.copy_(0.8 * torch.rand(sae.threshold.shape, generator=random))
    return sae


def _inputs(sae: SitesSAE) -> Tensor:
    x, _ = sae.in_out(_sites(B, sae.config.n_sites, seed=3).double())
    return x


@pytest.mark.parametrize("check", SAE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["transcoder", "crosscoder", "clt"])
def test_the_contract_is_kept(name: str, check: Check) -> None:
    config = CONFIGS[name]
    check(subject_of(type(build(config)), small=config, planted=config, min_recovery=None))


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_kept_is_above_the_latents_own_threshold(name: str) -> None:
    sae = _made(name)
    x = _inputs(sae)
    rows = x.reshape(B, -1, D) * sae.input_factor.unsqueeze(1)
    codes = sae.encode(x).dense().reshape(B, -1, F) * sae.code_unit
    for i, dictionary in enumerate(sae.dictionaries()):
        weight, bias, centre = dictionary.encoder
        assert centre is not None
        pre = (rows.reshape(B, -1)[:, dictionary.reads] - centre) @ weight + bias
        wanted = torch.where(pre > sae.threshold.reshape(-1, F)[i], pre, 0.0)
        assert 0 < int((wanted != 0).sum()) < int((pre > 0).sum())
        assert torch.allclose(codes[:, i], wanted, atol=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_an_export_fires_and_writes_the_same(name: str) -> None:
    sae = _made(name)
    x, made = _inputs(sae), sae.export()
    assert abs(float(sae.code_unit) - 1) > 0.05
    before, after = sae.encode(x), made.encode(x)
    assert torch.equal(before.dense() != 0, after.dense() != 0)
    assert torch.allclose(before.dense(), after.dense(), atol=1e-12)
    assert torch.allclose(sae(x), made(x), atol=1e-10)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_loss_is_the_reconstruction_and_leaves_thresholds(name: str) -> None:
    sae, batch = _made(name), _sites(B, CONFIGS[name].n_sites, seed=3).double()
    limits = sae.threshold.clone()
    losses = sae.loss(batch)
    assert set(losses.parts) == {"reconstruction"}
    inputs, targets = sae.in_out(batch)
    assert torch.allclose(losses.x_hat, sae(inputs).reshape(B, -1), atol=1e-10)
    assert torch.equal(losses.x, targets.reshape(B, -1))
    losses.total.backward()
    sae.after_step(losses)
    assert torch.equal(sae.threshold, limits)


def test_it_is_saved_with_its_thresholds(tmp_path: Any) -> None:
    sae = _made("clt")
    save_sae(sae, tmp_path / "sae")
    again: Any = load_sae(tmp_path / "sae")
    assert torch.equal(again.threshold, sae.threshold)
    assert sae.threshold.shape == (2, F)
    assert sae.sparsity == "none"


@pytest.mark.parametrize(
    "settings", [{"k": 3}, {"auxk_coefficient": 0.5}, {"k_aux": 3}, {"threshold_decay": 0.5}, {"sparsity_coefficient": 0.3}]
)
def test_settings_of_other_codes_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="which nothing uses"):
        Crosscoder.Config(n_latents=F, codes="threshold", **settings)


def test_there_is_no_k_to_override() -> None:
    with pytest.raises(ConfigError, match="codes threshold has no k"):
        _made("transcoder").use_k(3)
