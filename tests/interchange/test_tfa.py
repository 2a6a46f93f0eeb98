"""TFA's checkpoints and the standard SAEs beside it: against numbers of the original code, and broken files."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from monoseme.core.errors import ConfigError, ForeignError, SiteError
from monoseme.interchange import ExportSource, export_sae, import_saes, read_saes
from monoseme.interchange._tfa_standard import SPADE_SCALE
from monoseme.interchange.tfa import Tfa
from monoseme.models import Site
from monoseme.saes import NormaliseConfig, build
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken, check_round_trip

D, F, HEADS = 12, 24, 3
SCALE = 0.25
SITE = Tfa.Config(site="resid_post.2")
Vectors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def v(shared: Path) -> Vectors:
    return load_file(shared / "vectors" / "tfa.safetensors")


def _conf(**sae: Any) -> dict[str, Any]:
    return {"data": {"dtype": "float32"}, "llm": {"model_hf_name": "theirs/model", "dimin": D}, "sae": sae}


def _folder(at: Path, tensors: Vectors, conf: dict[str, Any] | None) -> Path:
    at.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, at / "latest_ckpt.safetensors")
    if conf is not None:
        (at / "conf.yaml").write_text(yaml.safe_dump(conf, sort_keys=False))
    return at


def _tensors(v: Vectors, *, tied: bool, n_layers: int = 1, bottleneck: int = 1) -> Vectors:
    found = {"D": v["tfa.D"], "b": v["tfa.b"], **({} if tied else {"E": v["tfa.E"]})}
    start = f"tfa.bf{bottleneck}."
    layers = {name.removeprefix(start): value for name, value in v.items() if name.startswith(f"{start}attn_layers.")}
    return found | {name: value for name, value in layers.items() if int(name.split(".")[1]) < n_layers}


def _settings(v: Vectors, novel: str, *, tied: bool = True) -> dict[str, Any]:
    return _conf(
        sae_type="temporal", sae_diff_type=novel, tied_weights=tied, scaling_factor=SCALE, n_heads=HEADS,
        kval_topk=int(v["tfa.kval_topk"]),
    )  # fmt: skip


@pytest.fixture
def folder(v: Vectors, tmp_path: Path) -> Path:
    return _folder(tmp_path / "given", _tensors(v, tied=False), _settings(v, "topk", tied=False))


@pytest.mark.parametrize(
    ("novel", "tied", "n_layers", "bottleneck"), [("topk", True, 1, 1), ("relu", False, 2, 2), ("nullify", True, 2, 1)]
)
def test_codes_and_reconstructions_are_the_originals(
    v: Vectors, tmp_path: Path, novel: str, tied: bool, n_layers: int, bottleneck: int
) -> None:
    tensors = _tensors(v, tied=tied, n_layers=n_layers, bottleneck=bottleneck)
    (read,) = read_saes(_folder(tmp_path / "one", tensors, _settings(v, novel, tied=tied)), config=SITE)
    group = f"tfa.{novel}.{'tied' if tied else 'untied'}.layers{n_layers}.bf{bottleneck}"
    sae, x, factor = read.found.sae, v["tfa.x"] / SCALE, read.found.code_factor
    codes = sae.encode(x)
    assert factor == pytest.approx(SCALE)
    assert_same(codes.dense("predicted") * factor, v[f"{group}.pred_codes"])
    if novel != "nullify":
        assert_same(codes.dense("novel") * factor, v[f"{group}.novel_codes"])
    assert_same(sae.decode(codes) * SCALE, v[f"{group}.x_hat"])
    assert any("bias of keys" in note for note in read.found.notes)


def test_a_threshold_is_that_of_inference(v: Vectors, tmp_path: Path) -> None:
    tensors = _tensors(v, tied=False) | {"expected_min_act": v["tfa.batchtopk_infer.threshold"]}
    (read,) = read_saes(_folder(tmp_path / "one", tensors, _settings(v, "batchtopk", tied=False)), config=SITE)
    group = "tfa.batchtopk_infer.untied.layers1.bf1"
    codes = read.found.sae.encode(v["tfa.x"] / SCALE)
    assert_same(codes.dense("novel") * read.found.code_factor, v[f"{group}.novel_codes"])


def test_the_squeezed_form_in_bfloat16_is_the_same_sae(v: Vectors, folder: Path) -> None:
    (whole,) = read_saes(folder, config=SITE)
    tensors = {name: value.squeeze().to(torch.bfloat16) for name, value in _tensors(v, tied=False).items()}
    save_file(tensors, folder / "latest_ckpt.safetensors")
    (read,) = read_saes(folder, config=SITE)
    for name, value in read.found.sae.named_parameters():
        assert torch.allclose(value, dict(whole.found.sae.named_parameters())[name], rtol=1 / 128), name


def test_a_training_checkpoint_is_read_or_refused_with_what_converts_it(v: Vectors, folder: Path, tmp_path: Path) -> None:
    (folder / "latest_ckpt.safetensors").unlink()
    torch.save({"sae": _tensors(v, tied=False), "optimizer": {"state": {}}, "iter": 7}, folder / "latest_ckpt.pt")
    check_recognised(folder, "tfa")
    assert read_saes(folder, config=SITE)
    torch.save({"sae": _tensors(v, tied=False), "config": SITE}, folder / "latest_ckpt.pt")
    with pytest.raises(ForeignError, match=r"(?s)can run any.*\[\"sae\"\].*save_file"):
        read_saes(folder, config=SITE)
    del tmp_path


def test_the_folder_says_the_layer_and_else_the_flag_is_named(v: Vectors, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"--site resid_post\.12"):
        import_saes(folder, tmp_path / "out")
    at = _folder(tmp_path / "layer_12" / "temporal", _tensors(v, tied=True), _settings(v, "topk"))
    (read,) = read_saes(at)
    assert (read.sites, read.found.model, read.found.name) == ((Site("resid_post", 12),), "theirs/model", "temporal")


def test_what_conf_does_not_say_is_asked_for_by_its_flag(v: Vectors, tmp_path: Path) -> None:
    at = _folder(tmp_path / "bare", _tensors(v, tied=True), None)
    check_recognised(at / "latest_ckpt.safetensors", "tfa")
    said: dict[str, Any] = {"site": "resid_post.2"}
    for flag, value in {"scaling_factor": SCALE, "type": "topk", "n_heads": HEADS, "k": 3}.items():
        with pytest.raises(ConfigError, match=f"--{flag} "):
            read_saes(at, config=Tfa.Config(**said))
        said[flag] = value
    assert read_saes(at, config=Tfa.Config(**said))


def test_the_published_scale_is_assumed_aloud(v: Vectors, tmp_path: Path) -> None:
    conf = _settings(v, "topk")
    del conf["sae"]["scaling_factor"]
    conf["llm"]["model_hf_name"] = "google/gemma-2-2b"
    (read,) = read_saes(_folder(tmp_path / "one", _tensors(v, tied=True), conf), config=SITE)
    assert float(read.found.sae.input_factor) == pytest.approx(1 / 150)
    assert any("is assumed" in note for note in read.found.notes)


def _standard(v: Vectors, at: Path, kind: str, lam: torch.Tensor, **sae: Any) -> Path:
    tensors = {name: v[f"std.{name}"] for name in ("Ae", "be", "Ad", "bd")} | {"lambda_pre": torch.log(torch.expm1(lam))}
    if kind == "jumprelu":
        tensors["logthreshold"] = v["std.jumprelu.logthreshold"]
    if kind == "SpaDE":
        tensors |= {name: v[f"std.SpaDE.{name}"] for name in ("Ae", "Ad")}
    return _folder(at, tensors, _conf(sae_type=kind, scaling_factor=SCALE, **sae))


@pytest.mark.parametrize(
    ("group", "kind", "ours"),
    [
        ("relu", "relu", "relu"),
        ("topk", "topk", "topk"),
        ("jumprelu", "jumprelu", "thresholded"),
        ("MP", "MP", "matching_pursuit"),
        ("MP_lambda1", "MP", "matching_pursuit"),
        ("SpaDE", "SpaDE", "spade"),
        ("SpaDE_lambda1", "SpaDE", "spade"),
    ],
)
def test_the_standard_saes_are_the_originals(v: Vectors, tmp_path: Path, group: str, kind: str, ours: str) -> None:
    k = {"kval_topk": int(v["std.topk.k"]), "mp_kval": int(v["std.MP.k"])}
    at = _standard(v, tmp_path / "one", kind, v[f"std.{group}.lambda"], **k)
    (read,) = read_saes(at, config=SITE)
    sae, scale = read.found.sae, SPADE_SCALE if kind == "SpaDE" else SCALE
    assert sae.config.plugin_name == ours
    x = v["std.x"] / scale
    assert_same(sae.encode(x).dense() * read.found.code_factor, v[f"std.{group}.codes"])
    assert_same(sae(x) * scale, v[f"std.{group}.x_hat"])


def test_batchtopk_of_the_standard_saes_is_refused_with_the_reason(v: Vectors, tmp_path: Path) -> None:
    at = _standard(v, tmp_path / "one", "batchtopk", torch.ones(1), kval_topk=3)
    with pytest.raises(ConfigError, match="no codes outside of training"):
        read_saes(at, config=SITE)


@pytest.mark.parametrize(("novel", "tied", "scale"), [("topk", True, 0.25), ("batchtopk", False, 0.25), ("relu", False, 1 / 48)])
def test_a_round_trip_is_exact_to_rounding(tmp_path: Path, novel: str, tied: bool, scale: float) -> None:
    k = {"k": 3} if novel != "relu" else {}
    config = TFA.Config(
        d_in=D, n_latents=F, n_heads=HEADS, n_attention_layers=2, bottleneck=2, tied=tied, encoder_scale=scale, seed=3,
        novel=novel, normalise=NormaliseConfig(kind="none"), **k,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    sae = TFA(config)
    if novel == "batchtopk":
        sae.threshold.fill_(0.1)
    again = check_round_trip(sae, tmp_path, format="tfa", encoder_scale=scale)
    x = torch.randn(2, 5, D)
    assert_same(again.encode(x).dense(), sae.encode(x).dense())
    (theirs,) = read_saes(tmp_path / "tfa-out", config=SITE, fingerprint=None)
    assert theirs.found.code_factor == pytest.approx(1.0)
    assert_same(theirs.found.sae.encode(x).dense() * (4 * D * scale) ** 0.5, sae.encode(x).dense())


def test_it_goes_into_the_file_that_their_loader_reads(tmp_path: Path) -> None:
    sae = TFA(TFA.Config(d_in=D, n_latents=F, n_heads=HEADS, k=3))
    source = ExportSource(name="one", sites=(Site("resid_post", 2),), model="gpt2")
    told = export_sae(sae, tmp_path / "out", format="tfa", source=source, config=Tfa.WriteConfig(pt=True))
    assert told.codes_off is not None
    assert told.codes_off < 1e-6
    held = torch.load(tmp_path / "out" / "latest_ckpt.pt", weights_only=True)
    assert held["sae"]["b"].shape == (1, D)
    assert held["sae"]["attn_layers.0.k_ctx.bias"].shape == (F,)
    with pytest.raises(ConfigError, match="holds TFA alone"):
        export_sae(build(TopK.Config(d_in=D, n_latents=F, k=3)), tmp_path / "no", format="tfa", source=source)


def test_a_layer_that_is_missing_is_not_left_out(v: Vectors, tmp_path: Path) -> None:
    tensors = {name: value for name, value in _tensors(v, tied=True, n_layers=2).items() if "layers.0." not in name}
    with pytest.raises(ForeignError, match=r"attn_layers\.0"):
        read_saes(_folder(tmp_path / "one", tensors, _settings(v, "topk")), config=SITE)


def test_broken_files_are_refused(folder: Path, tmp_path: Path) -> None:
    check_refuses_broken(folder, tmp_path, format="tfa", config=SITE)


@pytest.mark.slow
def test_broken_pickles_are_refused(v: Vectors, folder: Path, tmp_path: Path) -> None:
    (folder / "latest_ckpt.safetensors").unlink()
    torch.save({"sae": _tensors(v, tied=False), "iter": 7}, folder / "latest_ckpt.pt")
    check_refuses_broken(folder, tmp_path, format="tfa", config=SITE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jumprelu", "MP"])
def test_broken_standard_saes_are_refused(v: Vectors, tmp_path: Path, kind: str) -> None:
    at = _standard(v, tmp_path / "one", kind, torch.ones(1), mp_kval=3)
    check_refuses_broken(at, tmp_path, format="tfa", config=SITE)
