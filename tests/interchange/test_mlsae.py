"""MLSAE's files, plain and with the model: against the original's formula and its numbers, and broken files."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from monoseme.core.errors import ConfigError, ForeignError, MonosemeError
from monoseme.interchange import ExportSource, export_sae, read_saes
from monoseme.interchange.mlsae import Mlsae
from monoseme.models import Site
from monoseme.saes import NormaliseConfig, build
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.topk import TopK
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken, check_round_trip

L, D, F, K = 3, 7, 23, 3
SITES = "resid_post.0,resid_post.1,resid_post.2"
CONFIG = Mlsae.Config(n_layers=L)
PLAIN = {
    "n_inputs": D,
    "n_latents": F,
    "k": K,
    "dead_steps_threshold": 76,
    "dead_threshold": 1e-3,
    "auxk": 5,
    "standardize": True,
}
TFM = {"model_name": "EleutherAI/pythia-70m-deduped", "layers": [0, 2, 5], "expansion_factor": 4, "k": K, "standardize": True}


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(3)
    shapes = {"encoder.weight": (F, D), "decoder.weight": (D, F), "pre_encoder_bias": (D,)}
    return {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}


def _written(folder: Path, state: dict[str, torch.Tensor], told: Mapping[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def folder(tmp_path: Path, state: dict[str, torch.Tensor]) -> Path:
    return _written(tmp_path / "given", state, PLAIN)


@pytest.fixture
def tfm(tmp_path: Path, state: dict[str, torch.Tensor]) -> Path:
    whole = {f"autoencoder.{name}": value for name, value in state.items()}
    whole |= {"transformer.model.embed.weight": torch.randn(5, D), "autoencoder.last_nonzero": torch.zeros(F, dtype=torch.int64)}
    return _written(tmp_path / "tfm", whole, TFM)


def _theirs(state: dict[str, torch.Tensor], x: torch.Tensor, *, standardize: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The original's formula, written out: five_systems.md 2.2."""
    mean, std = (x.mean(-1, keepdim=True), x.std(-1, keepdim=True)) if standardize else (torch.zeros(()), torch.ones(()))
    normed = (x - mean) / (std + 1e-5) if standardize else x
    pre = (normed - state["pre_encoder_bias"]) @ state["encoder.weight"].t()
    values, places = pre.topk(K)
    codes = torch.zeros_like(pre).scatter(-1, places, values.relu())
    return codes, (codes @ state["decoder.weight"].t() + state["pre_encoder_bias"]) * std + mean


@pytest.mark.parametrize("standardize", [True, False])
def test_codes_and_reconstructions_are_the_originals(tmp_path: Path, state: dict[str, torch.Tensor], standardize: bool) -> None:
    (read,) = read_saes(_written(tmp_path / "one", state, PLAIN | {"standardize": standardize}), config=CONFIG)
    x = torch.randn(11, L, D) * 3 + 1
    codes, x_hat = _theirs(state, x, standardize=standardize)
    assert_same(read.found.sae.encode(x).dense(), codes)
    assert_same(read.found.sae(x), x_hat)


def test_their_reconstruction_is_multiplied_by_the_deviation_without_eps(folder: Path, state: dict[str, torch.Tensor]) -> None:
    (read,) = read_saes(folder, config=CONFIG)
    x = torch.randn(11, L, D, dtype=torch.float64)
    _, theirs = _theirs({name: value.double() for name, value in state.items()}, x, standardize=True)
    mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    ours = read.found.sae.double()(x)
    assert torch.allclose(ours - theirs, (theirs - mean) / std * 1e-5, atol=1e-9)
    assert any("by the deviation alone" in note for note in read.found.notes)


def test_both_forms_are_recognised(folder: Path, tfm: Path) -> None:
    for path in (folder, tfm, folder / "model.safetensors"):
        check_recognised(path, "mlsae")


def test_the_model_in_a_file_is_not_loaded_and_layers_are_those_of_the_config(tfm: Path, state: dict[str, torch.Tensor]) -> None:
    (read,) = read_saes(tfm)
    assert read.found.model == "EleutherAI/pythia-70m-deduped"
    assert [str(site) for site in read.sites or ()] == ["resid_post.0", "resid_post.2", "resid_post.5"]
    x = torch.randn(11, L, D)
    assert_same(read.found.sae.encode(x).dense(), _theirs(state, x, standardize=True)[0])
    assert set(read.found.sae.state_dict()) == set(build(read.found.sae.config).state_dict())


def test_a_plain_file_asks_for_its_layers(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"--n_layers 6"):
        read_saes(folder)
    with pytest.raises(ConfigError, match="leave one of the two out"):
        read_saes(folder, config=Mlsae.Config(n_layers=2, site=SITES))


@pytest.mark.parametrize(
    ("name", "sites", "model"),
    [
        ("mlsae-pythia-70m-deduped-x64-k32", 6, "EleutherAI/pythia-70m-deduped"),
        ("models--tim-lawson--mlsae-gpt2-x64-k32", 12, "openai-community/gpt2"),
        ("sae-pythia-160m-deduped-x64-k32-tfm-layers-7", 1, "EleutherAI/pythia-160m-deduped"),
    ],
)
def test_the_name_of_a_repository_says_model_and_layers(
    tmp_path: Path, state: dict[str, torch.Tensor], name: str, sites: int, model: str
) -> None:
    (read,) = read_saes(_written(tmp_path / name, state, PLAIN))
    assert (len(read.sites or ()), read.found.model) == (sites, model)
    assert sites > 1 or read.sites == (Site("resid_post", 7),)


def test_an_sae_behind_a_lens_is_refused(tfm: Path) -> None:
    (tfm / "config.json").write_text(json.dumps(TFM | {"tuned_lens": True}))
    with pytest.raises(ConfigError, match="tuned lens"):
        read_saes(tfm)


def _sae(**settings: object) -> MLSAE:
    sae = MLSAE(MLSAE.Config(d_in=D, n_latents=F, n_sites=L, k=K, seed=1, **settings))  # pyright: ignore[reportArgumentType]
    sae.b_dec.data.normal_(generator=torch.Generator().manual_seed(2))
    return sae


@pytest.mark.parametrize("kind", ["standardise", "none"])
def test_a_round_trip_is_exact(tmp_path: Path, kind: str) -> None:
    sae = _sae(normalise=NormaliseConfig(kind=kind))  # pyright: ignore[reportArgumentType]
    again = check_round_trip(sae, tmp_path, format="mlsae", site=SITES)
    for name, value in sae.named_parameters():
        assert torch.equal(dict(again.named_parameters())[name], value), name
    assert again.config.normalise == sae.config.normalise


def test_the_form_with_the_model_holds_its_weights(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    weights = {"model.layers.0.weight": torch.randn(5, 3)}
    save_file(weights, model / "model.safetensors")
    sites = tuple(Site("resid_post", layer) for layer in (1, 2, 4))
    source = ExportSource(name="one", sites=sites, model="theirs")
    config = Mlsae.WriteConfig(tfm=True, model=str(model))
    told = export_sae(_sae(), tmp_path / "out", format="mlsae", source=source, config=config)
    assert told.codes_off == 0.0
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(tensors["transformer.model.model.layers.0.weight"], weights["model.layers.0.weight"])
    (read,) = read_saes(tmp_path / "out")
    assert (read.sites, read.found.model) == (sites, "theirs")


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    source = ExportSource(name="one", sites=tuple(Site("resid_post", layer) for layer in range(L)))
    with pytest.raises(ConfigError, match="one dictionary for several layers"):
        export_sae(build(TopK.Config(d_in=D, n_latents=F, k=K)), tmp_path / "out", format="mlsae", source=source)
    with pytest.raises(ConfigError, match="outputs of blocks"):
        other = ExportSource(name="one", sites=tuple(Site("mlp_out", layer) for layer in range(L)))
        export_sae(_sae(), tmp_path / "out", format="mlsae", source=other)
    with pytest.raises(ConfigError, match="--model FOLDER"):
        Mlsae.WriteConfig(tfm=True)


def test_broken_files_are_refused(folder: Path, tmp_path: Path) -> None:
    check_refuses_broken(folder, tmp_path, format="mlsae", config=CONFIG)


@pytest.mark.parametrize(
    ("key", "value"),
    [("k", 0), ("k", None), ("k", 1.5), ("k", F + 1), ("n_inputs", D + 1), ("standardize", "yes"), ("auxk", -1)],
)
def test_a_config_that_does_not_fit_is_refused(folder: Path, key: str, value: object) -> None:
    (folder / "config.json").write_text(json.dumps(PLAIN | {key: value}))
    with pytest.raises(MonosemeError):
        read_saes(folder, format="mlsae", config=CONFIG)


@pytest.mark.parametrize("layers", [[], [0, 0], ["a"], [1.5], "all", [-1]])
def test_layers_that_are_none_are_refused(tfm: Path, layers: object) -> None:
    (tfm / "config.json").write_text(json.dumps(TFM | {"layers": layers}))
    with pytest.raises(ForeignError):
        read_saes(tfm)


@pytest.mark.parametrize("group", ["std", "raw"])
def test_the_golden_vectors(tmp_path: Path, shared: Path, group: str) -> None:
    v = load_file(shared / "vectors" / "mlsae.safetensors")
    names = ("encoder.weight", "decoder.weight", "pre_encoder_bias")
    told = {"n_inputs": 12, "n_latents": 30, "k": int(v["k"]), "standardize": group == "std"}
    (read,) = read_saes(_written(tmp_path / "golden", {n: v[n] for n in names}, told), config=Mlsae.Config(n_layers=5))
    x, codes, recons = (v[name].permute(1, 2, 0, 3).flatten(0, 1) for name in ("x", f"{group}.codes", f"{group}.recons"))
    assert_same(read.found.sae.encode(x).dense(), codes)
    assert_same(read.found.sae(x), recons, tolerance=2e-5)  # theirs de-standardises without eps
