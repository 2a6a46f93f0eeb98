"""Crosscoders of two tools: against their formulas, round trips of ours, broken files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from monoseme.core.errors import ConfigError, ForeignError, SiteError
from monoseme.interchange import ExportSource, export_sae, import_saes, read_saes
from monoseme.interchange.crosscoder import CrosscoderFormat
from monoseme.models import Site
from monoseme.saes import SAE, build
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.relu import ReLU
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken, check_round_trip

L, D, F, K = 3, 7, 23, 3
READ = CrosscoderFormat.Config
SITES = "resid_post.1,resid_post.2,resid_post.3"
State = dict[str, torch.Tensor]


def _x(n_sites: int = L) -> torch.Tensor:
    return torch.randn(13, n_sites, D, generator=torch.Generator().manual_seed(8)) * torch.arange(1, n_sites + 1).view(1, -1, 1)


def _random(shapes: dict[str, tuple[int, ...]]) -> State:
    make = torch.Generator().manual_seed(5)
    return {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}


# -- the replication of Kissane et al. --------------------------------------------------------------------------------


def _kissane(folder: Path, *, names: tuple[str, str] = ("0_cfg.json", "0.pt"), **config: Any) -> State:
    state = _random({"W_enc": (2, D, F), "b_enc": (F,), "W_dec": (F, 2, D), "b_dec": (2, D)})
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"seed": 49, "lr": 5e-5, "d_in": D, "dict_size": F, "enc_dtype": "fp32", "model_name": "gemma-2-2b"}
    hook = {"site": "resid_pre", "hook_point": "blocks.14.hook_resid_pre", "dec_init_norm": 0.08, "device": "cuda:0"}
    (folder / names[0]).write_text(json.dumps({**settings, **hook, **config}))
    torch.save(state, folder / names[1])
    return state


@pytest.mark.parametrize("names", [("0_cfg.json", "0.pt"), ("cfg.json", "cc_weights.pt")])
def test_kissanes_weights_work_on_scaled_activations(names: tuple[str, str], tmp_path: Path) -> None:
    state, x = _kissane(tmp_path / "given", names=names), _x(2)
    check_recognised(tmp_path / "given", "crosscoder")
    check_recognised(tmp_path / "given" / names[1], "crosscoder")
    scales = (0.31, 0.24)
    (read,) = read_saes(tmp_path / "given", config=READ(scales=scales))
    scaled = x * torch.tensor(scales).view(1, 2, 1)
    codes = (torch.einsum("bld,ldf->bf", scaled, state["W_enc"]) + state["b_enc"]).relu()
    x_hat = torch.einsum("bf,fld->bld", codes, state["W_dec"]) + state["b_dec"]
    assert_same(read.found.sae.encode(x).dense() * read.found.code_factor, codes)
    assert_same(read.found.sae(x), x_hat / torch.tensor(scales).view(1, 2, 1))
    assert read.found.sae.config.sites == ("resid_pre.14@base", "resid_pre.14@chat")
    assert (read.found.model, read.found.facts["layout"]) == ("gemma-2-2b", "kissane")
    norms = read.found.sae.get_buffer("site_weights")
    assert_same(norms / norms[0], torch.tensor(scales) / scales[0])


def test_scales_are_asked_for_and_their_number_is_checked(tmp_path: Path) -> None:
    _kissane(tmp_path / "given")
    with pytest.raises(ConfigError, match=r"--scales 0.28 0.28"):
        read_saes(tmp_path / "given")
    for wrong in ((1.0,), (1.0, 0.0), (1.0, float("inf"))):
        with pytest.raises(ConfigError, match="needs 2, all positive"):
            read_saes(tmp_path / "given", config=READ(scales=wrong))
    assert read_saes(tmp_path / "given", config=READ(scales=(1.0, 1.0)))[0].found.code_factor == 1.0


def test_the_published_scales_are_assumed_aloud_for_the_published_crosscoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {"model_name": "gemma-2-2b", "hook_point": "blocks.14.hook_resid_pre", "d_in": D, "dict_size": F}
    monkeypatch.setattr("monoseme.interchange.crosscoder._PUBLISHED", published)  # its shape would make a file of 600 MB
    _kissane(tmp_path / "given")
    (read,) = read_saes(tmp_path / "given")
    assert any("0.275896 (base) and 0.244229 (chat)" in note for note in read.found.notes)
    _kissane(tmp_path / "other", model_name="gemma-2-9b")
    with pytest.raises(ConfigError, match="--scales"):
        read_saes(tmp_path / "other")


def test_each_version_of_a_run_is_one(tmp_path: Path) -> None:
    for number in (10, 2):
        _kissane(tmp_path / "version_0", names=(f"{number}_cfg.json", f"{number}.pt"))
    config = READ(scales=(1.0, 1.0))
    assert [one.found.name for one in read_saes(tmp_path / "version_0", config=config)] == ["version_2", "version_10"]
    assert len(read_saes(tmp_path / "version_0" / "10.pt", config=config)) == 1


@pytest.mark.slow
def test_kissanes_broken_files_are_refused(tmp_path: Path) -> None:
    _kissane(tmp_path / "given")
    check_refuses_broken(tmp_path / "given", tmp_path, format="crosscoder", config=READ(scales=(0.3, 0.2)))


# -- crosscoder_learning ----------------------------------------------------------------------------------------------


def _learning(
    folder: Path, *, batchtopk: bool = True, scaled: bool = False, tensors: dict[str, Any] | None = None, **config: Any
) -> State:
    state = _random({"encoder.weight": (L, D, F), "encoder.bias": (F,), "decoder.weight": (L, F, D), "decoder.bias": (L, D)})
    if batchtopk:
        state |= {"k": torch.tensor(K, dtype=torch.int32), "threshold": torch.tensor(30.0)}
    state["activation_mean"] = _random({"m": (L, D)})["m"] if scaled else torch.full((L, D), torch.nan)
    state["activation_std"] = torch.full((L, D), 0.5 if scaled else torch.nan)
    state["activation_global_scale"] = torch.tensor([0.9, 0.4, 0.2]) if scaled else torch.ones(L)
    state |= {"target_rms": torch.tensor(1.0), "code_normalization_id": torch.tensor(1)}
    state |= tensors or {}
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors")
    settings = {"activation_dim": D, "dict_size": F, "num_layers": L, "code_normalization": "CROSSCODER", "encoder_layers": None}
    (folder / "config.json").write_text(json.dumps({**settings, **({"k": K} if batchtopk else {}), **config}))
    return state


def _weights(state: State, normalization: str) -> torch.Tensor:
    norms = state["decoder.weight"].norm(dim=2)
    together = state["decoder.weight"].norm(dim=(0, 2))
    mixed = together + 0.1 * norms.sum(0)
    return {"CROSSCODER": norms.sum(0), "SAE": together, "MIXED": mixed, "NONE": torch.ones(F)}[normalization]


def _theirs(state: State, x: torch.Tensor, normalization: str = "CROSSCODER") -> tuple[torch.Tensor, torch.Tensor]:
    """CrossCoder and BatchTopKCrossCoder of `dictionary.py`, written out."""
    scaled = not bool(state["activation_mean"].isnan().any())
    scale = state["activation_global_scale"].view(1, -1, 1)
    seen = (x - state["activation_mean"]) * scale if scaled else x
    codes = (torch.einsum("bld,ldf->bf", seen, state["encoder.weight"]) + state["encoder.bias"]).relu()
    if "threshold" in state:
        codes = codes * (codes * _weights(state, normalization) > state["threshold"])
    x_hat = torch.einsum("bf,lfd->bld", codes, state["decoder.weight"]) + state["decoder.bias"]
    return codes, x_hat / (scale + 1e-8) + state["activation_mean"] if scaled else x_hat


@pytest.mark.parametrize("batchtopk", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_codes_and_reconstructions_are_those_of_the_class(batchtopk: bool, scaled: bool, tmp_path: Path) -> None:
    state, x = _learning(tmp_path / "given", batchtopk=batchtopk, scaled=scaled), _x()
    check_recognised(tmp_path / "given", "crosscoder")
    check_recognised(tmp_path / "given" / "model.safetensors", "crosscoder")
    (read,) = read_saes(tmp_path / "given", config=READ(site=SITES))
    codes, x_hat = _theirs(state, x)
    assert 0 < int((codes > 0).sum()) < codes.numel()
    assert_same(read.found.sae.encode(x).dense() * read.found.code_factor, codes)
    assert_same(read.found.sae(x), x_hat)
    assert read.found.sae.config.codes == ("batchtopk" if batchtopk else "relu")


@pytest.mark.parametrize(("number", "name"), [(2, "SAE"), (3, "MIXED"), (4, "NONE")])
@pytest.mark.parametrize("scaled", [False, True])
def test_other_weights_of_the_selection_become_a_threshold_for_each_latent(
    number: int, name: str, scaled: bool, tmp_path: Path
) -> None:
    threshold = {"SAE": 14.0, "MIXED": 18.0, "NONE": 3.0}[name]
    changed = {"code_normalization_id": torch.tensor(number), "threshold": torch.tensor(threshold)}
    state, x = _learning(tmp_path / "given", scaled=scaled, tensors=changed), _x()
    (read,) = read_saes(tmp_path / "given")
    codes, x_hat = _theirs(state, x, name)
    assert 0 < int((codes > 0).sum()) < codes.numel()
    assert_same(read.found.sae.encode(x).dense() * read.found.code_factor, codes)
    assert_same(read.found.sae(x), x_hat)
    assert any(name in note for note in read.found.notes)


def test_a_threshold_that_was_never_set_keeps_what_is_positive(tmp_path: Path) -> None:
    state, x = _learning(tmp_path / "given", tensors={"threshold": torch.tensor(-1.0)}), _x()
    (read,) = read_saes(tmp_path / "given")
    assert_same(read.found.sae.encode(x).dense(), _theirs(state, x)[0])
    assert any("never set" in note for note in read.found.notes)


def test_an_encoder_of_some_of_the_sites_reads_only_those(tmp_path: Path) -> None:
    state = _learning(tmp_path / "given", batchtopk=False, encoder_layers=[2, 0])
    some = state["encoder.weight"][:2].clone()
    save_file({**state, "encoder.weight": some}, tmp_path / "given" / "model.safetensors")
    x = _x()
    (read,) = read_saes(tmp_path / "given")
    codes = (torch.einsum("bld,ldf->bf", x[:, [2, 0]], some) + state["encoder.bias"]).relu()
    assert_same(read.found.sae.encode(x).dense(), codes)


def test_the_normalization_is_assumed_aloud_where_it_is_not_said(tmp_path: Path) -> None:
    state = _learning(tmp_path / "given", code_normalization=None)
    del state["code_normalization_id"]
    save_file(state, tmp_path / "given" / "model.safetensors")
    assert any("CROSSCODER, as the tool then assumes" in note for note in read_saes(tmp_path / "given")[0].found.notes)


@pytest.mark.parametrize(
    ("tensors", "config", "said"),
    [
        ({"code_normalization_id": torch.tensor(5)}, {}, "DECOUPLED"),
        ({"code_normalization_id": torch.tensor(9)}, {}, "known are 1 to 5"),
        ({"k": torch.tensor(F + 1)}, {}, "k is 24"),
        ({}, {"encoder_layers": [0, 7, 1]}, "encoder_layers are"),
        ({"activation_std": torch.ones(L, D), "activation_mean": torch.ones(L, D + 1)}, {}, "activation_mean has the shape"),
    ],
)
def test_what_cannot_be_is_refused(tensors: dict[str, Any], config: dict[str, Any], said: str, tmp_path: Path) -> None:
    _learning(tmp_path / "given", tensors=tensors, **config)
    with pytest.raises(ForeignError, match=said):
        read_saes(tmp_path / "given")


def test_sites_are_asked_for_and_their_number_is_checked(tmp_path: Path) -> None:
    _learning(tmp_path / "given")
    assert any("resid_post.0,resid_post.1,resid_post.2" in note for note in read_saes(tmp_path / "given")[0].found.notes)
    with pytest.raises(SiteError, match="--site"):
        import_saes(tmp_path / "given", tmp_path / "out")
    with pytest.raises(ConfigError, match="has 3 sites, but --site names 1"):
        import_saes(tmp_path / "given", tmp_path / "out", config=READ(site="resid_post.1"))
    with pytest.raises(ConfigError, match="--scales is for"):
        read_saes(tmp_path / "given", config=READ(scales=(1.0, 1.0, 1.0)))


def _learned(codes: Any, *, alike: bool) -> SAE:
    settings: dict[str, Any] = {} if codes == "relu" else {"k": K}
    sae = build(Crosscoder.Config(d_in=D, n_latents=F, n_sites=L, codes=codes, **settings))
    make = torch.Generator().manual_seed(4)
    sizes = torch.ones(L) if alike else torch.tensor([0.5, 3.0, 40.0])
    sae.start((torch.randn(60, L, D, generator=make) + 1) * sizes.view(1, -1, 1))
    sae.W_dec.data *= torch.rand(F, 1, generator=make) + 0.2
    sae.b_enc.data += 0.1
    sae.b_dec.data += 0.1 * torch.randn(L * D, generator=make)
    if codes == "batchtopk":
        sae.get_buffer("threshold").fill_(0.35)
    return sae


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("codes", ["relu", "batchtopk"])
def test_ours_computes_the_same_by_their_formula(codes: str, alike: bool, tmp_path: Path) -> None:
    sae = _learned(codes, alike=alike)
    check_round_trip(sae, tmp_path, format="crosscoder", site=SITES)
    state = load_file(tmp_path / "crosscoder-out" / "model.safetensors")
    x = _x() * torch.tensor([0.5, 1.5, 10.0]).view(1, -1, 1)
    nothing = {"activation_mean": torch.full((L, D), torch.nan), "activation_global_scale": torch.ones(L)}
    theirs, x_hat = _theirs({**nothing, **state}, x)
    assert 0 < int((theirs > 0).sum()) < theirs.numel()
    assert_same(theirs, sae.encode(x).dense())
    assert_same(x_hat, sae(x))
    if "activation_std" in state:  # what the tool computes its scale from
        assert_same(1 / (state["activation_std"].square().sum(-1) + 1e-8).sqrt(), state["activation_global_scale"])


def test_what_crosscoder_learning_does_not_hold_is_refused(tmp_path: Path) -> None:
    sites = tuple(Site.parse(part) for part in SITES.split(","))
    with pytest.raises(ConfigError, match="not crosscoder with codes topk"):
        export_sae(_learned("topk", alike=True), tmp_path / "a", format="crosscoder", source=ExportSource(name="a", sites=sites))
    relu = build(ReLU.Config(d_in=D, n_latents=F))
    with pytest.raises(ConfigError, match="not relu"):
        export_sae(relu, tmp_path / "b", format="crosscoder", source=ExportSource(name="b", sites=sites[:1]))


def test_broken_files_are_refused(tmp_path: Path) -> None:
    _learning(tmp_path / "given", scaled=True)
    check_refuses_broken(tmp_path / "given", tmp_path, format="crosscoder", config=READ(site=SITES))
