"""Llama Scope: its formula with the scale of activations, in which space its thresholds are, broken files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.interchange import read_saes
from monoseme.interchange.llama_scope import LlamaScope
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken

D, F = 7, 23
TOLD: dict[str, Any] = {
    "d_model": D,
    "d_sae": F,
    "act_fn": "jumprelu",
    "jump_relu_threshold": 0.6,
    "norm_activation": "dataset-wise",
    "dataset_average_activation_norm": {"in": 5.0, "out": 9.0},
    "sparsity_include_decoder_norm": True,
    "use_decoder_bias": True,
    "apply_decoder_bias_to_pre_encoder": False,
    "hook_point_in": "blocks.19.hook_resid_post",
    "hook_point_out": "blocks.19.hook_resid_post",
}


def _table(*, unit: bool = False) -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(3)
    shapes = {"encoder.weight": (F, D), "encoder.bias": (F,), "decoder.weight": (D, F), "decoder.bias": (D,)}
    table = {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}
    if unit:
        table["decoder.weight"] /= table["decoder.weight"].norm(dim=0)
    return table


def _put(folder: Path, table: dict[str, torch.Tensor], **told: Any) -> Path:
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "hyperparams.json").write_text(json.dumps({**TOLD, **told}))
    save_file(table, folder / "checkpoints" / "final.safetensors")
    return folder


def _theirs(
    w: dict[str, torch.Tensor], x: torch.Tensor, limit: Any, *, before: bool = False, t: float = D**0.5 / 9.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """In the space of s x, where `limit` is compared with pre times the norm of the decoder's column."""
    s = D**0.5 / 5.0
    read = x * s - w["decoder.bias"] if before else x * s
    pre = read @ w["encoder.weight"].t() + w["encoder.bias"]
    f = pre * (pre * w["decoder.weight"].norm(dim=0) > limit)
    return f, (f @ w["decoder.weight"].t() + w["decoder.bias"]) / t


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("space", [None, "raw", "scaled"])
def test_codes_and_reconstructions_are_its_own(tmp_path: Path, space: Any, before: bool) -> None:
    table, s, t = _table(), D**0.5 / 5.0, D**0.5 / 9.0
    folder = _put(tmp_path / "Llama3_1-8B-Base-L19R-8x", table, apply_decoder_bias_to_pre_encoder=before)
    check_recognised(folder, "llama_scope")
    (read,) = read_saes(folder, config=LlamaScope.Config(threshold_space=space))
    x = 2 * torch.randn(31, D, generator=torch.Generator().manual_seed(1)) + 0.3
    codes, x_hat = _theirs(table, x, 0.6 if space == "scaled" else 0.6 * t, before=before)
    assert_same(read.found.sae.encode(x).dense() * read.found.code_factor, codes)
    assert_same(read.found.sae(x), x_hat)
    assert read.found.sae.config.sites == ("resid_post.19",)
    assert read.found.model == "meta-llama/Llama-3.1-8B"
    assert read.found.code_factor == pytest.approx(s)


def test_thresholds_of_single_latents_are_in_the_weights(tmp_path: Path) -> None:
    limits = torch.rand(F, generator=torch.Generator().manual_seed(2)) + 0.1
    table = {**_table(unit=True), "log_jumprelu_threshold": limits.log()}
    table["dataset_average_activation_norm.blocks.19.hook_resid_post"] = torch.tensor(5.0)
    (read,) = read_saes(_put(tmp_path / "sae", table, dataset_average_activation_norm=None, jump_relu_threshold=None))
    x = 2 * torch.randn(31, D, generator=torch.Generator().manual_seed(1)) + 0.3
    codes, x_hat = _theirs(table, x, limits, t=D**0.5 / 5.0)
    assert_same(read.found.sae.encode(x).dense() * read.found.code_factor, codes)
    assert_same(read.found.sae(x), x_hat)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"act_fn": "topk"}, "relu and jumprelu are read"),
        ({"use_glu_encoder": True}, "gated by a second one"),
        ({"hook_point_out": "blocks.19.hook_mlp_out"}, "a transcoder"),
        ({"norm_activation": "token-wise"}, "scaled dataset-wise"),
        ({"dataset_average_activation_norm": {"in": 0.0}}, "must be positive"),
        ({"jump_relu_threshold": "high"}, "should be a number"),
    ],
)
def test_what_it_cannot_be_is_refused(tmp_path: Path, told: dict[str, Any], message: str) -> None:
    with pytest.raises(ForeignError, match=message):
        read_saes(_put(tmp_path / "sae", _table(), **told))
    with pytest.raises(ConfigError, match="lacks dataset_average"):
        read_saes(_put(tmp_path / "two", _table(), dataset_average_activation_norm=None))


def test_broken_files_are_refused(tmp_path: Path) -> None:
    check_refuses_broken(_put(tmp_path / "sae", _table()), tmp_path, format="llama_scope")
