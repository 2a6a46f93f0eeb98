"""Plain files of our own: every architecture there and back to the bit, and broken files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from monoseme.core.errors import ForeignError, MonosemeError
from monoseme.interchange import SAE_FORMATS, ExportSource, export_sae, read_saes
from monoseme.models import Site
from monoseme.saes import SAE, SAES, NormaliseConfig, build
from monoseme.saes.thresholded import Thresholded
from monoseme.saes.topk import TopK
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken, check_round_trip
from tests.saes._subjects import subject

D, F, K = 7, 23, 3


def _filled(config: SAE.Config) -> SAE:
    """An SAE whose parameters are all random, so that one that is left behind is noticed."""
    sae = build(config)
    make = torch.Generator().manual_seed(5)
    for value in sae.parameters():
        value.data = value.data + 0.1 * torch.randn(value.shape, generator=make)
    return sae


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sae = _filled(TopK.Config(d_in=D, n_latents=F, k=K))
    out = tmp_path / "given"
    export_sae(sae, out, format="plain", source=ExportSource(name="one", sites=(Site.parse("resid_post.2"),), model="theirs"))
    return out


_QUICK = ("topk", "mlsae", "spade", "thresholded", "transcoder")


@pytest.mark.parametrize(
    "name", [name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SAES.names()]
)
def test_every_architecture_comes_back_to_the_bit(name: str, tmp_path: Path) -> None:
    sae = _filled(subject(name).small).export()
    n_sites = getattr(sae.config, "n_sites", None) or 1
    sites = tuple(Site("resid_post", layer) for layer in range(n_sites))
    told = export_sae(sae, tmp_path / "out", format="plain", source=ExportSource(name="one", sites=sites))
    assert told.codes_off == 0.0
    (read,) = read_saes(tmp_path / "out")
    again = read.found.sae
    assert type(again) is type(sae)
    for key, value in sae.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert read.sites == sites


def test_what_is_written_can_be_used_with_nothing_but_the_two_files(folder: Path) -> None:
    told, tensors = json.loads((folder / "sae.json").read_text()), load_file(folder / "sae.safetensors")
    x = torch.randn(11, D)
    pre = (x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]
    values, places = pre.topk(told["settings"]["k"])
    codes = torch.zeros_like(pre).scatter(-1, places, values.relu())
    (read,) = read_saes(folder)
    assert_same(read.found.sae.encode(x).dense(), codes)
    assert_same(read.found.sae(x), codes @ tensors["W_dec"] + tensors["b_dec"])
    assert told["formula"].startswith("f = relu(topk(")
    assert told["sites"] == ["resid_post.2"]
    assert read.found.model == "theirs"


def test_a_folded_scale_is_in_the_weights(tmp_path: Path) -> None:
    sae = _filled(Thresholded.Config(d_in=D, n_latents=F, normalise=NormaliseConfig(kind="constant", constant=0.25)))
    sae.start(torch.randn(13, D))
    sae.get_buffer("threshold").fill_(0.1)
    again = check_round_trip(sae, tmp_path, format="plain")
    x = torch.randn(11, D)
    assert_same(again.encode(x).dense(), sae.encode(x).dense())


def test_it_is_recognised_by_the_folder_and_by_either_file(folder: Path) -> None:
    for path in (folder, folder / "sae.json", folder / "sae.safetensors"):
        check_recognised(path, "plain")


def test_the_books_of_training_may_be_left_out(folder: Path) -> None:
    tensors = load_file(folder / "sae.safetensors")
    for name in ("input_factor", "input_variance", "started", "tokens_since_fired"):
        del tensors[name]
    save_file(tensors, folder / "sae.safetensors")
    (read,) = read_saes(folder)
    assert not bool(read.found.sae.started)
    assert read.agreement is not None
    assert read.agreement.holds


def test_a_rounded_type_is_told(tmp_path: Path) -> None:
    sae = _filled(TopK.Config(d_in=D, n_latents=F, k=K))
    config = SAE_FORMATS.get("plain").WriteConfig(dtype="bfloat16")
    source = ExportSource(name="one", sites=(Site.parse("resid_post.2"),))
    told = export_sae(sae, tmp_path / "out", format="plain", source=source, config=config, fingerprint=False)
    assert told.lost == ("numbers are rounded to bfloat16",)
    assert load_file(tmp_path / "out" / "sae.safetensors")["W_enc"].dtype == torch.bfloat16


def test_broken_files_are_refused(folder: Path, tmp_path: Path) -> None:
    optional = ("input_factor", "input_variance")
    check_refuses_broken(folder, tmp_path, format="plain", optional=optional)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_latents", 10**12),
        ("d_in", 10**9),
        ("d_in", None),
        ("d_in", D + 1),
        ("k", 0),
        ("k", "three"),
        ("architecture", "no such thing"),
        ("architecture", ["topk"]),
        ("surprise", 1),
        ("normalise", {"kind": "constant"}),
    ],
)
def test_settings_that_do_not_describe_the_tensors_are_refused(folder: Path, key: str, value: object) -> None:
    told = json.loads((folder / "sae.json").read_text())
    told["settings"][key] = value
    (folder / "sae.json").write_text(json.dumps(told))
    with pytest.raises(MonosemeError) as error:
        read_saes(folder)
    assert isinstance(error.value, ForeignError)
