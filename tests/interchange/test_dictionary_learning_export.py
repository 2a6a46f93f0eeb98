"""SAEs of ours as dictionary_learning's: which class each becomes, round trips, and what the format cannot hold."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.interchange import ExportSource, export_sae
from monoseme.interchange.dictionary_learning import DictionaryLearning
from monoseme.models import Site
from monoseme.saes import SAE, build
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.gated import Gated
from monoseme.saes.jumprelu import JumpReLU
from monoseme.saes.matryoshka import Matryoshka
from monoseme.saes.normalized_topk import NormalizedTopK
from monoseme.saes.relu import ReLU
from monoseme.saes.topk import TopK
from tests.interchange.rules import assert_same, check_recognised, check_round_trip
from tests.interchange.test_dictionary_learning import FORMULAS

D, F, K = 7, 23, 3
WRITE = DictionaryLearning.WriteConfig


def learned(config: SAE.Config) -> SAE:
    """An SAE with numbers that training could have left."""
    sae = build(config)
    make = torch.Generator().manual_seed(4)
    sae.start(torch.randn(40, D, generator=make) * 3 + 1)
    for name, parameter in sae.named_parameters():
        if not name.startswith("W_"):
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=make)
    if "threshold" in dict(sae.named_buffers()):
        sae.get_buffer("threshold").fill_(0.2)
    return sae


def _given(sae: SAE, out: Path, *, config: Any = None, **facts: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    source = ExportSource(name="one", sites=(Site.parse("resid_post.1"),), model="gpt2", facts=facts)
    told = export_sae(sae, out, format="dictionary_learning", source=source, config=config)
    assert max(told.codes_off or 0.0, told.x_hat_off or 0.0) < 1e-6
    check_recognised(out, "dictionary_learning")
    return torch.load(out / "ae.pt"), json.loads((out / "config.json").read_text())["trainer"]


_SIZE: Any = {"d_in": D, "n_latents": F}
MADE: dict[str, tuple[SAE.Config, dict[str, Any]]] = {
    "AutoEncoder": (ReLU.Config(**_SIZE), {}),
    "AutoEncoderTopK": (TopK.Config(**_SIZE, k=K), {}),
    "BatchTopKSAE": (BatchTopK.Config(**_SIZE, k=K), {"k": K}),
    "MatryoshkaBatchTopKSAE": (Matryoshka.Config(**_SIZE, k=K, group_sizes=(4, 8, 11)), {"k": K}),
    "JumpReluAutoEncoder": (JumpReLU.Config(**_SIZE), {}),
    "GatedAutoEncoder": (Gated.Config(**_SIZE), {"dict_class": "GatedAutoEncoder"}),
}


@pytest.mark.parametrize("name", MADE)
def test_each_class_holds_what_becomes_it(name: str, tmp_path: Path) -> None:
    config, told = MADE[name]
    sae = learned(config)
    state, trainer = _given(sae, tmp_path / "out", config=WRITE(**told))
    x = torch.randn(11, D, generator=torch.Generator().manual_seed(2)) * 3
    assert_same(FORMULAS[name](state, x), sae.encode(x).dense())
    assert trainer["dict_class"] == name
    assert (trainer["layer"], trainer["lm_name"], trainer["submodule_name"]) == (1, "gpt2", "resid_post_layer_1")
    check_round_trip(sae, tmp_path, format="dictionary_learning", config=WRITE(**told))


def test_k_comes_from_how_it_was_trained_else_is_asked_for(tmp_path: Path) -> None:
    sae = learned(BatchTopK.Config(**_SIZE, k=K))
    state, trainer = _given(sae, tmp_path / "ours", trained_as={"architecture": "batchtopk", "k": 5})
    assert (int(state["k"]), trainer["k"]) == (5, 5)
    state, _ = _given(sae, tmp_path / "theirs", imported={"trainer": {"k": 9}})
    assert int(state["k"]) == 9
    with pytest.raises(ConfigError, match="--k 64"):
        _given(sae, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="--k is given"):
        _given(learned(ReLU.Config(**_SIZE)), tmp_path / "unused", config=WRITE(k=4))


def test_what_has_groups_can_go_without_them(tmp_path: Path) -> None:
    sae = learned(Matryoshka.Config(**_SIZE, k=K, group_sizes=(4, 8, 11)))
    source = ExportSource(name="one", sites=(Site.parse("resid_post.1"),))
    told = export_sae(
        sae, tmp_path / "out", format="dictionary_learning", source=source, config=WRITE(dict_class="BatchTopKSAE", k=K)
    )
    assert any("group_0, group_1, group_2" in lost for lost in told.lost)


def test_numbers_are_rounded_only_where_that_is_asked_for(tmp_path: Path) -> None:
    sae = learned(TopK.Config(**_SIZE, k=K))
    source = ExportSource(name="one", sites=(Site.parse("resid_post.1"),))
    told = export_sae(sae, tmp_path / "out", format="dictionary_learning", source=source, config=WRITE(dtype="bfloat16"))
    assert told.lost == ("numbers are rounded to bfloat16",)
    assert {value.dtype for value in torch.load(tmp_path / "out" / "ae.pt").values() if value.ndim} == {torch.bfloat16}


@pytest.mark.parametrize("config", [NormalizedTopK.Config(**_SIZE, k=K), TopK.Config(**_SIZE, k=K, signed=True)])
def test_what_no_class_holds_is_refused(config: SAE.Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dictionary_learning"):
        _given(learned(config), tmp_path / "out")
    with pytest.raises(ConfigError, match="Allowed: AutoEncoderTopK"):
        _given(learned(TopK.Config(**_SIZE, k=K)), tmp_path / "out", config=WRITE(dict_class="AutoEncoder"))
