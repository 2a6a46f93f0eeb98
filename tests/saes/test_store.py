"""SAEs on disk: what comes back, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from monoseme.core.errors import (
    ArtifactDamagedError,
    ArtifactExistsError,
    ArtifactKindError,
    ArtifactMissingError,
    ArtifactVersionError,
    ConfigError,
    UnknownPluginError,
)
from monoseme.saes import SAES, build, config_from_dict, config_to_dict, load_sae, save_sae
from monoseme.saes.topk import TopK


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    sae = build(TopK.Config(d_in=7, n_latents=11, k=3, seed=5))
    save_sae(sae, tmp_path / "sae", inputs={"model": "sha256:0"}, extra_config={"site": "resid_post.2", "model": "tiny"})
    return tmp_path / "sae"


def _change_manifest(path: Path, **changes: object) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | changes))


def test_the_manifest_describes_the_sae(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["kind"] == "sae"
    assert manifest["config"]["architecture"] == "topk"
    assert manifest["config"]["k"] == 3
    assert manifest["config"]["site"] == "resid_post.2"
    assert manifest["seeds"] == {"sae": 5}
    assert manifest["inputs"] == {"model": "sha256:0"}


def test_tensors_are_named_and_shaped_as_the_field_does(saved: Path) -> None:
    tensors = load_file(saved / "sae.safetensors")
    shapes = {name: tuple(tensors[name].shape) for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    assert shapes == {"W_enc": (7, 11), "b_enc": (11,), "W_dec": (11, 7), "b_dec": (7,)}


def test_provenance_is_saved_again(saved: Path, tmp_path: Path) -> None:
    loaded = load_sae(saved)
    assert loaded.provenance == {"site": "resid_post.2", "model": "tiny"}
    save_sae(loaded, tmp_path / "again", extra_config={"model": "other"})
    assert load_sae(tmp_path / "again").provenance == {"site": "resid_post.2", "model": "other"}


def test_dtypes_come_back_as_saved(tmp_path: Path) -> None:
    sae = build(TopK.Config(d_in=7, n_latents=11, k=3)).double()
    save_sae(sae, tmp_path / "sae")
    loaded = load_sae(tmp_path / "sae")
    assert loaded.W_enc.dtype == torch.float64
    assert torch.equal(loaded.W_enc, sae.W_enc)
    assert loaded.W_enc.stride() == sae.W_enc.stride()


def test_an_existing_folder_is_not_overwritten_unless_asked(saved: Path) -> None:
    sae = build(TopK.Config(d_in=7, n_latents=11, k=3))
    with pytest.raises(ArtifactExistsError):
        save_sae(sae, saved)
    save_sae(sae, saved, overwrite=True)


def test_extra_config_may_not_shadow_a_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="repeats settings of the SAE: k"):
        save_sae(build(TopK.Config(d_in=7, n_latents=11, k=3)), tmp_path / "sae", extra_config={"k": 4})


def test_a_missing_sae_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError):
        load_sae(tmp_path / "nowhere")


def test_another_kind_is_refused(saved: Path) -> None:
    _change_manifest(saved, kind="atlas")
    with pytest.raises(ArtifactKindError, match="atlas"):
        load_sae(saved)


def test_a_newer_version_is_refused(saved: Path) -> None:
    _change_manifest(saved, schema=99)
    with pytest.raises(ArtifactVersionError, match="99"):
        load_sae(saved)


def test_a_cut_file_is_refused(saved: Path) -> None:
    content = (saved / "sae.safetensors").read_bytes()
    (saved / "sae.safetensors").write_bytes(content[:-5])
    with pytest.raises(ArtifactDamagedError):
        load_sae(saved)


def test_a_spoilt_header_is_refused(saved: Path) -> None:
    content = (saved / "sae.safetensors").read_bytes()
    (saved / "sae.safetensors").write_bytes(b"\xff" * 16 + content[16:])
    with pytest.raises(ArtifactDamagedError, match="cannot be read"):
        load_sae(saved)


def test_tensors_of_another_shape_are_refused(saved: Path) -> None:
    tensors = load_file(saved / "sae.safetensors")
    tensors["b_dec"], tensors["b_enc"] = torch.zeros(8), torch.zeros(10)  # the file keeps its size
    save_file(tensors, saved / "sae.safetensors")
    with pytest.raises(ArtifactDamagedError, match=r"b_dec \(needs \(7,\), has \(8,\)\)"):
        load_sae(saved)


def test_an_unknown_architecture_is_told_with_a_suggestion(saved: Path) -> None:
    config = json.loads((saved / "manifest.json").read_text())["config"]
    _change_manifest(saved, config=config | {"architecture": "topkk"})
    with pytest.raises(UnknownPluginError, match='Did you mean "topk"'):
        load_sae(saved)


@pytest.mark.parametrize("name", SAES.names())
def test_configs_survive_their_plain_form(name: str) -> None:
    config = SAES.get(name).Config(d_in=7, n_latents=104, seed=3)
    plain = json.loads(json.dumps(config_to_dict(config)))
    assert plain["architecture"] == name
    assert config_from_dict(plain) == config


def test_a_misspelt_setting_is_told_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match='Did you mean "n_latents"'):
        config_from_dict({"architecture": "topk", "n_latent": 5})
    with pytest.raises(ConfigError, match="architecture"):
        config_from_dict({"n_latents": 5})


def test_architectures_are_listed_without_importing_torch() -> None:
    code = (
        "import sys; from monoseme.saes import SAES; names = [info.name for info in SAES.infos()];"
        "assert {'topk', 'batchtopk', 'thresholded'} <= set(names) and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(info.summary for info in SAES.infos())
