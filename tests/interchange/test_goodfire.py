"""Goodfire's files: two linear layers with a ReLU, named by model and block."""

from pathlib import Path

import pytest
import torch

from monoseme.core.errors import SiteError
from monoseme.interchange import import_saes, read_saes
from monoseme.interchange.goodfire import Goodfire
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken

D, F = 7, 23


def _put(path: Path) -> dict[str, torch.Tensor]:
    encoder, decoder = torch.nn.Linear(D, F), torch.nn.Linear(F, D)
    state = {f"encoder_linear.{name}": value for name, value in encoder.state_dict().items()}
    state |= {f"decoder_linear.{name}": value for name, value in decoder.state_dict().items()}
    path.parent.mkdir(exist_ok=True)
    torch.save(state, path)
    return state


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_codes_are_its_own_and_the_name_says_where_it_belongs(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"Llama-3.1-8B-Instruct-SAE-l19{suffix}"
    w = _put(path)
    check_recognised(path, "goodfire")
    (read,) = read_saes(tmp_path)
    x = torch.randn(11, D)
    codes = (x @ w["encoder_linear.weight"].t() + w["encoder_linear.bias"]).relu()
    assert_same(read.found.sae.encode(x).dense(), codes)
    assert_same(read.found.sae(x), codes @ w["decoder_linear.weight"].t() + w["decoder_linear.bias"])
    assert read.found.sae.config.sites == ("resid_post.19",)
    assert read.found.model == "meta-llama/Llama-3.1-8B-Instruct"


def test_another_name_says_nothing(tmp_path: Path) -> None:
    _put(tmp_path / "sae.pth")
    with pytest.raises(SiteError, match=r"--site resid_post\.12"):
        import_saes(tmp_path / "sae.pth", tmp_path / "out")


def test_broken_files_are_refused(tmp_path: Path) -> None:
    _put(tmp_path / "given" / "sae.pth")
    check_refuses_broken(tmp_path / "given", tmp_path, format="goodfire", config=Goodfire.Config(site="resid_post.1"))
