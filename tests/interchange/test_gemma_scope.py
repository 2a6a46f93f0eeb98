"""Gemma Scope: its formula, what its paths say, transcoders, files that would grow or run code."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from monoseme.core.errors import ConfigError, ForeignError, SiteError
from monoseme.interchange import import_saes, read_saes
from monoseme.interchange.gemma_scope import GemmaScope
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken

D, F = 7, 23


def _params(seed: int = 3) -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (D, F), "W_dec": (F, D), "b_enc": (F,), "b_dec": (D,)}
    params = {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}
    return {**params, "threshold": torch.rand(F, generator=make) * 2}


def _save(path: Path, arrays: dict[str, Any], save: Any = np.savez) -> None:
    save(path, **arrays)


def _put(folder: Path, params: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True)
    _save(folder / "params.npz", {name: value.numpy() for name, value in params.items()})
    return folder


def _theirs(p: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pre = x @ p["W_enc"] + p["b_enc"]
    codes = pre.relu() * (pre > p["threshold"])
    return codes, codes @ p["W_dec"] + p["b_dec"]


@pytest.mark.parametrize(
    ("path", "sites", "model"),
    [
        ("gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82", ("resid_post.12",), "google/gemma-2-2b"),
        ("models--google--gemma-scope-9b-it-res/snapshots/ab12/layer_3/width_1m/a", ("resid_post.3",), "google/gemma-2-9b-it"),
        ("gemma-scope-2b-pt-mlp/layer_0/width_16k/average_l0_9", ("mlp_out.0",), "google/gemma-2-2b"),
        ("gemma-scope-27b-pt-att/layer_7/width_16k/canonical", ("head_out.7",), "google/gemma-2-27b"),
        ("gemma-scope-2b-pt-transcoders/layer_5/width_16k/average_l0_9", ("mlp_in.5", "mlp_out.5"), "google/gemma-2-2b"),
        ("elsewhere/layer_5", None, None),
    ],
)
def test_codes_are_its_own_and_the_path_says_where_it_belongs(tmp_path: Path, path: str, sites: Any, model: Any) -> None:
    params = _params()
    folder = _put(tmp_path / path, params)
    check_recognised(folder, "gemma_scope")
    (read,) = read_saes(folder / "params.npz")
    x = 2 * torch.randn(11, D) + 1
    codes, y = _theirs(params, x)
    assert 0 < int((codes > 0).sum()) < int(((x @ params["W_enc"] + params["b_enc"]) > 0).sum())
    assert_same(read.found.sae.encode(x).dense(), codes)
    assert_same(read.found.sae(x), y)
    assert read.found.sae.config.sites == sites
    assert read.found.model == model


def test_an_embedding_sae_reads_what_the_first_block_reads(tmp_path: Path) -> None:
    params = _params()
    folder = _put(tmp_path / "gemma-scope-2b-pt-res" / "embedding" / "width_4k" / "average_l0_6", params)
    (read,) = read_saes(folder)
    e = torch.randn(11, D)
    codes, e_hat = _theirs(params, e)
    assert_same(read.found.sae.encode(e * D**0.5).dense(), codes)
    assert_same(read.found.sae(e * D**0.5), e_hat * D**0.5)
    assert read.found.sae.config.sites == ("resid_pre.0",)


def test_a_repository_holds_many(tmp_path: Path) -> None:
    top = tmp_path / "gemma-scope-2b-pt-res"
    for layer in (1, 2):
        _put(top / f"layer_{layer}" / "width_16k" / "average_l0_9", _params(layer))
    found = read_saes(top)
    assert [(r.found.name, r.found.sae.config.sites) for r in found] == [
        (f"layer_{layer}-width_16k-average_l0_9", (f"resid_post.{layer}",)) for layer in (1, 2)
    ]
    with pytest.raises(ConfigError, match="--site is of one"):
        read_saes(top, config=GemmaScope.Config(site="resid_post.1"))


def test_the_place_is_asked_for_and_two_places_make_a_transcoder(tmp_path: Path) -> None:
    folder = _put(tmp_path / "given", _params())
    with pytest.raises(SiteError, match=r"--site resid_post\.12"):
        import_saes(folder, tmp_path / "out")
    (read,) = read_saes(folder, config=GemmaScope.Config(site="mlp_in.3,mlp_out.3"))
    assert read.found.sae.config.plugin_name == "transcoder"
    assert read.found.sae.config.sites == ("mlp_in.3", "mlp_out.3")


@pytest.mark.parametrize("skip", [False, True])
def test_gemma_scope_2(tmp_path: Path, skip: bool) -> None:
    params = _params()
    folder = tmp_path / "transcoder" / "layer_4_width_16k_l0_small"
    folder.mkdir(parents=True)
    table = {name.lower(): value for name, value in params.items()}
    if skip:
        table["affine_skip_connection"] = torch.randn(D, D)
    save_file(table, folder / "params.safetensors")
    told = {
        "architecture": "jump_relu",
        "model_name": "gemma-v3-1b-pt",
        "hf_hook_point_in": "model.layers.4.pre_feedforward_layernorm.output",
        "hf_hook_point_out": "model.layers.4.post_feedforward_layernorm.output",
    }
    (folder / "config.json").write_text(json.dumps(told))
    check_recognised(folder, "gemma_scope")
    (read,) = read_saes(folder)
    x = torch.randn(11, D)
    codes, y = _theirs(params, x)
    assert_same(read.found.sae.encode(x).dense(), codes)
    assert_same(read.found.sae(x), y + x @ table["affine_skip_connection"] if skip else y)
    assert read.found.sae.config.sites == ("mlp_in.4", "mlp_out.4")
    assert read.found.model == "google/gemma-3-1b-pt"
    if skip:
        check_refuses_broken(folder, tmp_path, format="gemma_scope", optional=("affine_skip_connection",))


def test_broken_files_are_refused(tmp_path: Path) -> None:
    folder = _put(tmp_path / "given", _params())
    check_refuses_broken(folder, tmp_path, format="gemma_scope", config=GemmaScope.Config(site="resid_post.1"))


def test_what_is_no_weights_is_refused(tmp_path: Path) -> None:
    folder = _put(tmp_path / "given", _params())
    path = folder / "params.npz"
    good = {name: value.numpy() for name, value in _params().items()}
    _save(path, {**good, "extra": np.array([object()], dtype=object)})
    with pytest.raises(ForeignError, match="not plain numbers"):
        read_saes(folder, format="gemma_scope")
    _save(path, {**good, "extra": np.zeros(1 << 23, dtype=np.float32)}, np.savez_compressed)
    with pytest.raises(ForeignError, match="would grow"):
        read_saes(folder, format="gemma_scope")
    with zipfile.ZipFile(path, "w") as file:
        header = str({"descr": "<f4", "fortran_order": False, "shape": (9**9,)}).ljust(118).encode()
        file.writestr("W_enc.npy", b"\x93NUMPY\x01\x00v\x00" + header)
    with pytest.raises(ForeignError, match=r"claims \[387420489\] numbers"):
        read_saes(folder, format="gemma_scope")
    _save(path, {**good, "W_dec": np.asfortranarray(good["W_dec"])})
    again: Any = read_saes(folder, format="gemma_scope")[0].found.sae
    assert torch.equal(again.W_dec, _params()["W_dec"])
    _save(path, {**good, "scaling_factor": np.full(F, 2.0, dtype=np.float32)})
    with pytest.raises(ForeignError, match="scaling_factor"):
        read_saes(folder, format="gemma_scope")
