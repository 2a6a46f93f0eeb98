"""Every architecture's tensors are known before there is memory for them."""

import dataclasses

import pytest

from monoseme.core.errors import ConfigError
from monoseme.planning.sae_sizes import SaeSizes, sae_sizes
from monoseme.planning.tensor_files import sizes_of
from monoseme.saes import SAE, SAES, build
from monoseme.saes.topk import TopK


def _config(name: str) -> SAE.Config:
    kind = SAES.get(name).Config
    for n_sites in (None, 2):
        try:
            config = kind(d_in=16, n_latents=64, **({} if n_sites is None else {"n_sites": n_sites}))
            build(config)
        except (TypeError, ConfigError):
            continue
        return config
    return kind(d_in=16)


@pytest.mark.parametrize("name", sorted(SAES.names()))
def test_sizes_are_those_of_the_real_one(name: str) -> None:
    config = _config(name)
    sizes, real = sae_sizes("x", config), build(config)
    assert sizes.weights == sizes_of(real.state_dict())
    assert sizes.exported == sizes_of(real.export().state_dict())


def test_a_dictionary_too_large_for_any_machine_is_sized_at_once() -> None:
    sizes = sae_sizes("x", TopK.Config(d_in=8192, n_latents=1 << 30))
    assert sizes.parameter_bytes == 4 * (2 * 8192 * (1 << 30) + (1 << 30) + 8192)
    assert sizes.transposed == {"W_enc"}


def test_the_optimiser_has_two_moments_and_a_count_for_each_parameter() -> None:
    sizes: SaeSizes = sae_sizes("x", TopK.Config(d_in=7, n_latents=11, k=3))
    assert {name for name in sizes.optimiser() if name.startswith("W_dec.")} == {
        "W_dec.step",
        "W_dec.exp_avg",
        "W_dec.exp_avg_sq",
    }
    assert sizes.optimiser()["W_enc.exp_avg"].shape == (7, 11)


@pytest.mark.parametrize("limit", ["_MOST_LATENTS", "_MOST_REAL"])
@pytest.mark.parametrize("name", ["topk", "spade", "tfa"])
def test_axes_of_wide_ones_grow_as_those_of_narrow_ones(name: str, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(_config(name), n_latents=128)
    plain = sae_sizes("x", config)
    monkeypatch.setattr(f"monoseme.planning.sae_sizes.{limit}", 64)
    assert sae_sizes("x", config) == plain


def test_one_that_no_fake_can_stand_for_is_not_built_at_its_size() -> None:
    sizes = sae_sizes("x", SAES.get("spade").Config(d_in=16, n_latents=1 << 34))
    assert sizes.parameter_bytes >= 4 * 16 * (1 << 34)
