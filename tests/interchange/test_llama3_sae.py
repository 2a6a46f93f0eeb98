"""llama3-sae's state dicts: against the original's numbers, and broken files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from monoseme.core.errors import ConfigError, SiteError
from monoseme.interchange import import_saes, read_saes
from monoseme.interchange.llama3_sae import Llama3Sae
from monoseme.saes import build
from monoseme.saes.normalized_topk import NormalizedTopK
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken, check_round_trip

D, F, K = 7, 23, 3
CONFIG = Llama3Sae.Config(k=K, site="attn_in.22")


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(3)
    shapes = {"b_pre": (D,), "encoder.weight": (F, D), "encoder.bias": (F,), "decoder.weight": (D, F)}
    return {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}


@pytest.fixture
def folder(tmp_path: Path, state: dict[str, torch.Tensor]) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    torch.save(state, folder / "model.pth")
    return folder


def _theirs(state: dict[str, torch.Tensor], x: torch.Tensor, *, k: int, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The original's formula, written out: five_systems.md 4.3."""
    mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    normed = (x - mean) / (std + eps)
    pre = (normed - state["b_pre"]) @ state["encoder.weight"].t() + state["encoder.bias"]
    values, places = pre.topk(k)
    codes = torch.zeros_like(pre).scatter(-1, places, values.relu())
    return codes, (codes @ state["decoder.weight"].t() + state["b_pre"]) * (std + eps) + mean


def test_codes_and_reconstructions_are_the_originals(folder: Path, state: dict[str, torch.Tensor]) -> None:
    (read,) = read_saes(folder / "model.pth", config=CONFIG)
    x = torch.randn(11, D) * 3 + 1
    codes, x_hat = _theirs(state, x, k=K, eps=1e-6)
    assert_same(read.found.sae.encode(x).dense(), codes)
    assert_same(read.found.sae(x), x_hat)
    assert any("eps" in note for note in read.found.notes)


def test_it_is_recognised(folder: Path) -> None:
    check_recognised(folder / "model.pth", "llama3_sae")


def test_k_and_the_site_are_asked_for_by_the_flag_that_gives_them(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--k 64"):
        read_saes(folder / "model.pth")
    with pytest.raises(SiteError, match=r"--site resid_post.12"):
        import_saes(folder / "model.pth", tmp_path / "out", config=Llama3Sae.Config(k=K))


def test_weights_saved_under_ddp_have_a_prefix(folder: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save({f"module.{name}": value for name, value in state.items()}, folder / "model.pth")
    (read,) = read_saes(folder / "model.pth", config=CONFIG)
    assert torch.equal(read.found.sae.b_dec, state["b_pre"])


def test_a_round_trip_is_exact(tmp_path: Path) -> None:
    sae = build(NormalizedTopK.Config(d_in=D, n_latents=F, k=K, seed=1))
    sae.b_dec.data.normal_()
    again = check_round_trip(sae, tmp_path, format="llama3_sae", k=K)
    for name, value in sae.named_parameters():
        assert torch.equal(dict(again.named_parameters())[name], value), name


def test_broken_files_are_refused(folder: Path, tmp_path: Path) -> None:
    check_refuses_broken(folder, tmp_path, format="llama3_sae", config=CONFIG, file="model.pth", every=1)


def test_the_golden_vectors(tmp_path: Path, shared: Path) -> None:
    golden = load_file(shared / "vectors" / "llama3_sae.safetensors")
    state = {name: golden[name] for name in ("encoder.weight", "encoder.bias", "decoder.weight")}
    # `b_pre` in the file is the one after three steps of training: what was in use is what is left beside the decoded codes
    state["b_pre"] = (golden["forward_1d.recon"] - golden["forward_1d.h_sparse"] @ golden["decoder.weight"].t()).mean(0)
    torch.save(state, tmp_path / "sae.pth")
    config = Llama3Sae.Config(k=int(golden["k"]), eps=float(golden["normalize_eps"]), site="attn_in.22")
    (read,) = read_saes(tmp_path / "sae.pth", config=config)
    assert_same(read.found.sae.encode(golden["x"]).dense(), golden["forward_1d.h_sparse"])
    assert_same(read.found.sae(golden["x"]), golden["forward_1d.recon_denormalized"])
