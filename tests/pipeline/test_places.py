"""Places of the model go to the architectures as these can take them, and each SAE gets a name that tells it from the others."""

import pytest

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import ModelSpec
from monoseme.pipeline._places import placed_configs
from monoseme.saes import SAE
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.topk import TopK
from monoseme.testing import tiny_model


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return tiny_model("llama").spec


def _dealt(spec: ModelSpec, *saes: SAE.Config, sites: tuple[str, ...] | None = None) -> dict[str, list[str]]:
    return {one.name: [str(site) for site in one.sites] for one in placed_configs(saes, sites, spec)}


def test_without_sites_an_architecture_chooses_its_own(spec: ModelSpec) -> None:
    assert _dealt(spec, TopK.Config()) == {"topk": [f"resid_post.{(spec.n_layers - 1) // 2}"]}


def test_an_architecture_of_one_site_is_trained_at_each(spec: ModelSpec) -> None:
    dealt = _dealt(spec, TopK.Config(k=4), TopK.Config(k=8), sites=("resid_post.0", "mlp_out.1"))
    assert dealt == {
        "topk.k4.resid_post_0": ["resid_post.0"],
        "topk.k8.resid_post_0": ["resid_post.0"],
        "topk.k4.mlp_out_1": ["mlp_out.1"],
        "topk.k8.mlp_out_1": ["mlp_out.1"],
    }


def test_own_sites_win_over_those_of_the_run(spec: ModelSpec) -> None:
    dealt = _dealt(spec, TopK.Config(), TopK.Config(k=8, sites=("mlp_out.0",)), sites=("resid_post.1",))
    assert dealt == {"topk.k32.resid_post_1": ["resid_post.1"], "topk.k8.mlp_out_0": ["mlp_out.0"]}


def test_a_pattern_names_every_layer(spec: ModelSpec) -> None:
    assert len(_dealt(spec, TopK.Config(), sites=("resid_post.*",))) == spec.n_layers


def test_the_config_keeps_where_it_learns(spec: ModelSpec) -> None:
    (placed,) = placed_configs([TopK.Config()], ("mlp_out.1",), spec)
    assert placed.config.sites == ("mlp_out.1",)


def test_names_tell_apart_what_differs_and_refuse_twins(spec: ModelSpec) -> None:
    names = list(_dealt(spec, TopK.Config(k=4), TopK.Config(k=8), TopK.Config(k=8, n_latents=64)))
    assert names == ["topk.n_latents4096.k4", "topk.n_latents4096.k8", "topk.n_latents64.k8"]
    with pytest.raises(ConfigError, match="two SAEs of this run are the same: topk"):
        _dealt(spec, TopK.Config(k=4), TopK.Config(k=4))


def test_a_target_names_an_sae_and_the_k_that_follows_from_it_does_not(spec: ModelSpec) -> None:
    names = list(_dealt(spec, TopK.Config(target_l0=4.0), TopK.Config(target_l0=8.0), TopK.Config(k=8)))
    assert names == ["topk.target_l0_4", "topk.target_l0_8", "topk.target_l0_None.k8"]


def test_a_site_that_no_sae_takes_is_refused(spec: ModelSpec) -> None:
    with pytest.raises(ConfigError, match=r"no SAE of this run learns from resid_post\.1"):
        _dealt(spec, MLSAE.Config(), sites=("resid_post.1",))
    dealt = _dealt(spec, TopK.Config(), MLSAE.Config(), sites=("resid_post.1",))  # here one takes it
    assert dealt["topk"] == ["resid_post.1"]
    assert len(dealt["mlsae"]) == spec.n_layers


def test_a_site_that_the_model_lacks_is_refused(spec: ModelSpec) -> None:
    with pytest.raises(SiteError, match=r"resid_post\.99"):
        _dealt(spec, TopK.Config(), sites=("resid_post.99",))
