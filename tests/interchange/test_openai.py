"""OpenAI's files: TopK on standardised vectors or ReLU on raw ones, tied or not, with and without an activation's name."""

from pathlib import Path
from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError, ForeignError, SiteError
from monoseme.interchange import import_saes, read_saes
from monoseme.interchange.openai import OpenAI
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken

D, F, K = 7, 23, 3
TOPK = {"activation": "TopK", "activation_state_dict": {"k": K, "postact_fn": "ReLU"}, "activation.k": K}


def _state(*, tied: bool = False) -> dict[str, Any]:
    make = torch.Generator().manual_seed(3)
    shapes = {"pre_bias": (D,), "latent_bias": (F,), "encoder.weight": (F, D), "decoder.weight": (D, F)}
    state: dict[str, Any] = {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}
    if tied:
        del state["decoder.weight"]
        state["decoder.linear.weight"] = state["encoder.weight"]
    return {**state, "stats_last_nonzero": torch.zeros(F, dtype=torch.int64), "latents_mean_square": torch.ones(F)}


def _theirs(w: dict[str, Any], x: torch.Tensor, *, k: int | None, standardise: bool) -> tuple[torch.Tensor, torch.Tensor]:
    mean, std = (x.mean(-1, keepdim=True), x.std(-1, keepdim=True) + 1e-5) if standardise else (0.0, 1.0)
    pre = ((x - mean) / std - w["pre_bias"]) @ w["encoder.weight"].t() + w["latent_bias"]
    if k is not None:
        values, places = pre.topk(k)
        pre = torch.zeros_like(pre).scatter(-1, places, values)
    decoder = w["decoder.weight"].t() if "decoder.weight" in w else w["encoder.weight"]
    return pre.relu(), (pre.relu() @ decoder + w["pre_bias"]) * std + mean


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("said", "asked", "k", "standardise"),
    [
        (TOPK, {}, K, True),
        ({"activation": "ReLU", "activation_state_dict": {}}, {}, None, False),
        ({}, {"activation": "topk", "k": 2}, 2, True),
        ({}, {"activation": "topk", "k": 2, "standardise": False}, 2, False),
        ({}, {"activation": "relu"}, None, False),
    ],
)
def test_codes_and_reconstructions_are_its_own(
    tmp_path: Path, said: dict[str, Any], asked: dict[str, Any], k: int | None, standardise: bool, tied: bool
) -> None:
    state = _state(tied=tied)
    torch.save({**state, **said}, tmp_path / "6.pt")
    check_recognised(tmp_path / "6.pt", "openai")
    (read,) = read_saes(tmp_path / "6.pt", config=OpenAI.Config(**asked))
    x = 3 * torch.randn(11, D) + 1
    codes, x_hat = _theirs(state, x, k=k, standardise=standardise)
    assert_same(read.found.sae.encode(x).dense(), codes)
    assert_same(read.found.sae(x), x_hat)


@pytest.mark.parametrize(
    ("place", "site"),
    [("resid_post_mlp_v5_32k", "resid_post.6"), ("resid_delta_mlp", "mlp_out.6"), ("resid_delta_attn_v4", "attn_out.6")],
)
def test_the_path_says_where_it_belongs(tmp_path: Path, place: str, site: str) -> None:
    folder = tmp_path / "gpt2-small" / place / "autoencoders"
    folder.mkdir(parents=True)
    torch.save({**_state(), **TOPK}, folder / "6.pt")
    (read,) = read_saes(folder / "6.pt")
    assert read.found.sae.config.sites == (site,)
    assert read.found.model == "gpt2"


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "6.pt"
    torch.save(_state(), path)
    with pytest.raises(ConfigError, match="--activation topk --k 32"):
        read_saes(path)
    with pytest.raises(ConfigError, match="--k 32"):
        read_saes(path, config=OpenAI.Config(activation="topk"))
    torch.save({**_state(), **TOPK}, path)
    with pytest.raises(SiteError, match=r"--site resid_post\.12"):
        import_saes(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"activation": "Identity"}, "TopK and ReLU are read"),
        ({"activation": "TopK", "activation_state_dict": {"k": 99}}, "k is 99"),
        ({"activation": "TopK", "activation_state_dict": {"k": 3, "postact_fn": "Identity"}}, "only ReLU"),
    ],
)
def test_what_it_cannot_be_is_refused(tmp_path: Path, said: dict[str, Any], message: str) -> None:
    torch.save({**_state(), **said}, tmp_path / "6.pt")
    with pytest.raises(ForeignError, match=message):
        read_saes(tmp_path / "6.pt")
    torch.save({**_state(tied=True), **TOPK, "decoder.linear.weight": torch.ones(F, D)}, tmp_path / "6.pt")
    with pytest.raises(ForeignError, match="tied, but differs"):
        read_saes(tmp_path / "6.pt")


def test_broken_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    state = {name: value for name, value in _state().items() if not name.startswith(("stats", "latents"))}
    torch.save({**state, **TOPK}, folder / "6.pt")
    check_refuses_broken(folder, tmp_path, format="openai", config=OpenAI.Config(site="resid_post.1"))
