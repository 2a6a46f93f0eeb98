"""T-SAE's checkpoints: against the original's numbers, its published layout, round trips of ours, broken files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.interchange import ExportSource, export_sae, import_saes, read_saes
from monoseme.interchange.tsae import TSae
from monoseme.models import Site
from monoseme.saes import SAE, build, load_sae
from monoseme.saes.matryoshka import Matryoshka
from monoseme.saes.tsae import TSAE
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken, check_round_trip

D, F, K = 7, 23, 3
CLASS = "TemporalMatryoshkaBatchTopKSAE"


def _give(folder: Path, state: dict[str, torch.Tensor], dict_class: str = CLASS) -> Path:
    folder.mkdir(parents=True)
    torch.save(state, folder / "ae.pt")
    trainer = {"dict_class": dict_class, "trainer_class": "TemporalMatryoshkaBatchTopKTrainer", "k": K, "temporal": "p"}
    where = {"layer": 12, "lm_name": "google/gemma-2-2b", "submodule_name": "resid_post_layer_12"}
    (folder / "config.json").write_text(json.dumps({"trainer": {**trainer, **where}, "buffer": {"io": "out"}}))
    return folder


def _state(sizes: tuple[int, ...] = (4, 19)) -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(5)
    shapes = {"W_enc": (D, F), "b_enc": (F,), "W_dec": (F, D), "b_dec": (D,)}
    state = {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}
    scalars = {"k": torch.tensor(K, dtype=torch.int32), "threshold": torch.tensor(1.5), "group_sizes": torch.tensor(sizes)}
    return {**state, **scalars}


def _learned(config: SAE.Config) -> SAE:
    sae = build(config)
    sae.start(torch.randn(40, 2, D, generator=torch.Generator().manual_seed(4)) * 3 + 1)
    sae.b_enc.data += 0.1
    sae.get_buffer("threshold").fill_(0.2)
    return sae


@pytest.mark.parametrize("unset", [False, True])
def test_the_golden_vectors(tmp_path: Path, shared: Path, unset: bool) -> None:
    golden = load_file(shared / "vectors" / "tsae.safetensors")
    state = {name: golden[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec", "group_sizes")}
    at = "infer.threshold_unset" if unset else "infer.threshold"
    (read,) = read_saes(_give(tmp_path / "trainer_0", {**state, "k": golden["k"], "threshold": golden[at]}))
    sae, x = read.found.sae, golden["x"][:, 0]
    codes = sae.encode(x)
    assert_same(codes.dense(), golden["infer.threshold_unset.codes" if unset else "infer.codes"])
    if not unset:
        assert_same(sae(x), golden["infer.x_hat"])
    assert sae.config.groups == {"high": 6, "low": 24}
    assert_same(codes.dense("high")[:, :6], codes.dense()[:, :6])
    assert any("never set" in note for note in read.found.notes) == unset
    assert any("3 groups" in note for note in read.found.notes)


def test_the_published_layout(tmp_path: Path) -> None:
    _give(tmp_path / "repository" / "trainer_0", _state())
    (tmp_path / "repository" / "explanations.json").write_text('{"3": "names of rivers"}')
    check_recognised(tmp_path / "repository", "tsae")
    check_recognised(tmp_path / "repository" / "trainer_0", "tsae")
    check_recognised(tmp_path / "repository" / "trainer_0" / "ae.pt", "tsae")
    (read,) = read_saes(tmp_path / "repository")
    assert (str(read.sites), read.found.model) == ("(Site.parse('resid_post.12'),)", "google/gemma-2-2b")
    assert read.found.sae.config.groups == {"high": 4, "low": 19}
    place = tmp_path / "repository" / "explanations.json"
    assert any(f"monoseme import {place} --atlas ATLAS" in note for note in read.found.notes)
    import_saes(tmp_path / "repository", tmp_path / "out")
    assert load_sae(tmp_path / "out").provenance["imported"]["trainer"]["temporal"] == "p"


@pytest.mark.parametrize("linear", [False, True])
def test_the_class_without_groups(tmp_path: Path, linear: bool) -> None:
    state = _state()
    del state["group_sizes"]
    given = dict(state)
    if linear:
        given = {"encoder.weight": state["W_enc"].t(), "encoder.bias": state["b_enc"], "decoder.weight": state["W_dec"].t()}
        given |= {"b_dec": state["b_dec"], "k": state["k"], "threshold": state["threshold"]}
    folder = _give(tmp_path / "trainer_0", given, "TemporalBatchTopKSAE")
    check_recognised(folder, "tsae")
    (read,) = read_saes(folder)
    x = torch.randn(11, D, generator=torch.Generator().manual_seed(1)) * 2
    acts = ((x - state["b_dec"]) @ state["W_enc"] + state["b_enc"]).relu()
    assert_same(read.found.sae.encode(x).dense(), acts * (acts > 1.5))
    assert read.found.sae.parts == ("all",)


def test_ours_goes_out_and_comes_back(tmp_path: Path) -> None:
    sae = _learned(TSAE.Config(d_in=D, n_latents=F, k=K, group_sizes=(4, 19)))
    again = check_round_trip(sae, tmp_path, format="tsae", config=TSae.WriteConfig(k=K))
    x = torch.randn(11, D, generator=torch.Generator().manual_seed(1)) * 3
    assert again.parts == sae.parts
    assert torch.equal(again.encode(x).dense(), sae.export().encode(x).dense())
    state, config = torch.load(tmp_path / "tsae-out" / "ae.pt"), json.loads((tmp_path / "tsae-out" / "config.json").read_text())
    assert {name: (tuple(value.shape), value.dtype) for name, value in state.items()} == {
        "W_enc": ((D, F), torch.float32),
        "b_enc": ((F,), torch.float32),
        "W_dec": ((F, D), torch.float32),
        "b_dec": ((D,), torch.float32),
        "k": ((), torch.int32),
        "threshold": ((), torch.float32),
        "group_sizes": ((2,), torch.int64),
    }
    assert config["trainer"]["group_sizes"] == [4, 19]


def test_k_and_pairs_come_from_how_it_was_trained(tmp_path: Path) -> None:
    sae = _learned(TSAE.Config(d_in=D, n_latents=F, k=K, group_sizes=(4, 19)))
    facts: dict[str, Any] = {"trained_as": {"architecture": "tsae", "k": 5, "pairs": "random"}}
    source = ExportSource(name="one", sites=(Site.parse("resid_post.1"),), facts=facts)
    told = export_sae(sae, tmp_path / "out", format="tsae", source=source)
    trainer = json.loads((tmp_path / "out" / "config.json").read_text())["trainer"]
    assert (trainer["k"], trainer["temporal"], trainer["dict_class"]) == (5, "r", CLASS)
    assert any("temp_alpha" in lost for lost in told.lost)
    with pytest.raises(ConfigError, match="--k 64"):
        export_sae(sae, tmp_path / "none", format="tsae", source=ExportSource(name="one", sites=source.sites))


def test_what_has_other_parts_is_refused(tmp_path: Path) -> None:
    sae = build(Matryoshka.Config(d_in=D, n_latents=F, k=K, group_sizes=(4, 8, 11)))
    with pytest.raises(ConfigError, match="with parts group_0, group_1, group_2"):
        export_sae(sae, tmp_path / "out", format="tsae", source=ExportSource(name="one", sites=(Site.parse("resid_post.1"),)))


def test_another_class_is_refused(tmp_path: Path) -> None:
    folder = _give(tmp_path / "trainer_0", _state(), "MatryoshkaBatchTopKSAE")
    check_recognised(folder, "dictionary_learning")
    with pytest.raises(ForeignError, match="says that it is a MatryoshkaBatchTopKSAE"):
        read_saes(folder, format="tsae")


def test_broken_files_are_refused(tmp_path: Path) -> None:
    folder = _give(tmp_path / "given", _state())
    check_refuses_broken(folder, tmp_path, format="tsae", config=TSae.Config(site="resid_post.12"))
