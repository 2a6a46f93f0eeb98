"""sparsify's folders: its formulas written out, runs of many hook points, what older files leave out, broken files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from monoseme.core.errors import ConfigError, ForeignError, SiteError
from monoseme.interchange import ExportSource, export_sae, import_saes, read_saes
from monoseme.interchange.sparsify import Sparsify
from monoseme.models import Site
from monoseme.saes import SAE, NormaliseConfig, build
from monoseme.saes.relu import ReLU
from monoseme.saes.topk import TopK
from monoseme.saes.transcoder import Transcoder
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken, check_round_trip

D, F, K = 7, 24, 3
CFG: dict[str, Any] = {"expansion_factor": 32, "normalize_decoder": True, "num_latents": F, "k": K, "d_in": D}


def _tensors(*, skip: bool = False, n_latents: int = F) -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(3)
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.weight": (n_latents, D),
        "encoder.bias": (n_latents,),
        "W_dec": (n_latents, D),
        "b_dec": (D,),
    }
    shapes |= {"W_skip": (D, D)} if skip else {}
    return {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}


def _put(folder: Path, tensors: dict[str, torch.Tensor], **cfg: Any) -> Path:
    folder.mkdir(parents=True)
    save_file(tensors, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({**CFG, **cfg}))
    return folder


def _theirs(w: dict[str, torch.Tensor], x: torch.Tensor, **cfg: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Dense codes and output, as `SparseCoder.forward` computes them."""
    read = x if cfg.get("transcode") else x - w["b_dec"]
    pre = read @ w["encoder.weight"].t() + w["encoder.bias"]
    if cfg.get("signed"):
        places = pre.abs().topk(K).indices
    elif cfg.get("activation") == "groupmax":
        pre = pre.relu()
        places = pre.unflatten(-1, (K, -1)).max(-1).indices + torch.arange(0, F, F // K)
    else:
        pre = pre.relu()
        places = pre.topk(K).indices
    codes = torch.zeros_like(pre).scatter(-1, places, pre.gather(-1, places))
    y = codes @ w["W_dec"] + w["b_dec"]
    return codes, y + x @ w["W_skip"].t() if cfg.get("skip_connection") else y


@pytest.mark.parametrize(
    "cfg",
    [
        {},
        {"activation": "groupmax"},
        {"signed": True},
        {"transcode": True},
        {"transcode": True, "skip_connection": True},
        {"skip_connection": True},
    ],
    ids=lambda cfg: "-".join(map(str, cfg)) or "topk",
)
def test_codes_and_outputs_are_its_own(tmp_path: Path, cfg: dict[str, Any]) -> None:
    tensors = _tensors(skip=cfg.get("skip_connection", False))
    folder = _put(tmp_path / "layers.1.mlp", tensors, **cfg)
    check_recognised(folder, "sparsify")
    (read,) = read_saes(folder)
    x = 2 * torch.randn(11, D) + 1
    codes, y = _theirs(tensors, x, **cfg)
    assert_same(read.found.sae.encode(x).dense(), codes)
    assert_same(read.found.sae(x), y)
    before = {True: ("mlp_in.1",), None: ("mlp_out.1",) if "W_skip" in tensors else ()}
    assert read.found.sae.config.sites == (*before[cfg.get("transcode")], "mlp_out.1")


def test_no_number_of_latents_is_the_width_times_the_expansion(tmp_path: Path) -> None:
    folder = _put(tmp_path / "layers.10", _tensors(n_latents=4 * D), num_latents=0, expansion_factor=4)
    (read,) = read_saes(folder)
    assert read.found.sae.n_latents == 4 * D
    assert read.found.sae.config.sites == ("resid_post.10",)


def test_a_run_holds_an_sae_for_each_hook_point_and_seed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    half = {name: value.bfloat16() for name, value in _tensors().items()}
    for hook in ("layers.10", "layers.2", "h.3.attn/seed0", "h.3.attn/seed1", "embed_tokens"):
        _put(run / hook, half, k=K)
    (run / "config.json").write_text(json.dumps({"sae": {"k": 2}, "model": "org/tiny", "ctx_len": 64}))
    check_recognised(run, "sparsify")
    found = {read.found.name: read for read in read_saes(run)}
    assert {name: read.found.sae.config.sites for name, read in found.items()} == {
        "embed_tokens": None,
        "h.3.attn-seed0": ("attn_out.3",),
        "h.3.attn-seed1": ("attn_out.3",),
        "layers.2": ("resid_post.2",),
        "layers.10": ("resid_post.10",),
    }
    assert list(found).index("layers.2") < list(found).index("layers.10")
    one = found["layers.2"].found
    assert one.model == "org/tiny"
    assert one.facts["run"]["ctx_len"] == 64
    assert any("k is 3 here and 2" in note for note in one.notes)
    assert torch.equal(one.sae.W_dec, half["W_dec"].float())
    assert read_saes(run / "layers.10")[0].found.model == "org/tiny"
    assert read_saes(run / "h.3.attn" / "seed1")[0].found.sae.config.sites == ("attn_out.3",)
    with pytest.raises(SiteError, match=r"--site resid_post.12"):
        import_saes(run, tmp_path / "out")
    with pytest.raises(ConfigError, match="--site is of one"):
        read_saes(run, config=Sparsify.Config(site="resid_post.1"))


def test_modules_before_a_norm_are_no_sites(tmp_path: Path) -> None:
    folder = _put(tmp_path / "run" / "layers.1.mlp", _tensors())
    (tmp_path / "run" / "config.json").write_text(json.dumps({"sae": {}, "model": "google/gemma-2-2b"}))
    (read,) = read_saes(folder)
    assert read.found.sae.config.sites is None


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    folder = _put(tmp_path / "layers.1", _tensors())
    cfg = {name: value for name, value in CFG.items() if name != "k"}
    (folder / "cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(ConfigError, match="--k 32"):
        read_saes(folder)
    assert read_saes(folder, config=Sparsify.Config(k=5))[0].found.sae.config.k == 5


@pytest.mark.parametrize(
    ("cfg", "without", "message"),
    [
        ({}, "W_dec", "saved without its decoder"),
        ({"skip_connection": True}, "", "W_skip is missing"),
        ({"num_latents": 5}, "", "cfg.json says"),
        ({"k": 99}, "", "k is 99"),
        ({"k": 5, "activation": "groupmax"}, "", "do not part into 5"),
        ({"activation": "relu"}, "", "known are topk and groupmax"),
        ({"activation": "groupmax", "transcode": True}, "", "no architecture here has groupmax"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, cfg: dict[str, Any], without: str, message: str) -> None:
    tensors = {name: value for name, value in _tensors().items() if name != without}
    with pytest.raises(ForeignError, match=message):
        read_saes(_put(tmp_path / "layers.1", tensors, **cfg))


def test_broken_files_are_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    _put(run / "layers.1", _tensors(skip=True), skip_connection=True, transcode=True)
    (run / "config.json").write_text(json.dumps({"sae": {"k": K}, "model": "org/tiny"}))
    check_refuses_broken(run, tmp_path, format="sparsify", optional=("config.json",))


def _spread(sae: SAE) -> Any:
    for number, parameter in enumerate(sae.parameters()):
        parameter.data.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)), alpha=0.3)
    return sae


@pytest.mark.parametrize("groups", [False, True])
def test_a_round_trip_of_topk_is_exact(tmp_path: Path, groups: bool) -> None:
    sae = _spread(build(TopK.Config(d_in=D, n_latents=F, k=K, groups=groups)))
    sae.start(3 * torch.randn(50, D))
    again = check_round_trip(sae, tmp_path, format="sparsify", site="resid_post.1")
    assert again.config.groups == groups
    for name, value in sae.export().named_parameters():
        assert torch.equal(dict(again.named_parameters())[name], value), name


@pytest.mark.parametrize("skip", [False, True])
def test_a_round_trip_of_a_transcoder_computes_the_same(tmp_path: Path, skip: bool) -> None:
    sae = _spread(build(Transcoder.Config(d_in=D, n_latents=F, n_sites=2, k=K, skip=skip)))
    sae.start(3 * torch.randn(50, 2, D))
    again: Any = check_round_trip(sae, tmp_path, format="sparsify", site="mlp_in.1,mlp_out.1")
    assert again.config.sites == ("mlp_in.1", "mlp_out.1")
    assert not again.centre.any()
    x = 3 * torch.randn(11, D)
    assert_same(again(x), sae(x))


def test_what_is_written_says_the_place_and_the_model(tmp_path: Path) -> None:
    sae = _spread(build(TopK.Config(d_in=D, n_latents=F, k=K, normalise=NormaliseConfig(kind="none"))))
    source = ExportSource(name="one", sites=(Site("mlp_out", 4),), model="org/tiny")
    told = export_sae(sae, tmp_path / "out", format="sparsify", source=source, config=Sparsify.WriteConfig(dtype="bfloat16"))
    assert any("layers.4.mlp" in text for text in told.lost)
    assert told.codes_off is not None
    assert 1e-4 < told.codes_off < 0.5
    cfg = json.loads((tmp_path / "out" / "layers.4.mlp" / "cfg.json").read_text())
    assert (cfg["num_latents"], cfg["k"], cfg["normalize_decoder"], cfg["transcode"]) == (F, K, False, False)
    assert load_file(tmp_path / "out" / "layers.4.mlp" / "sae.safetensors")["W_dec"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    "config",
    [
        ReLU.Config(d_in=D, n_latents=F),
        TopK.Config(d_in=D, n_latents=F, k=K, signed=True),
        TopK.Config(d_in=D, n_latents=F, k=K, normalise=NormaliseConfig(kind="standardise")),
        TopK.Config(d_in=D, n_latents=F, k=5, groups=True),
        Transcoder.Config(d_in=D, n_latents=F, n_sites=2, codes="threshold"),
    ],
)
def test_what_it_cannot_hold_is_refused(tmp_path: Path, config: Any) -> None:
    source = ExportSource(name="one", sites=(Site("mlp_in", 4), Site("mlp_out", 4)))
    with pytest.raises(ConfigError, match="sparsify"):
        export_sae(build(config), tmp_path / "out", format="sparsify", source=source)
    assert not (tmp_path / "out").exists()
