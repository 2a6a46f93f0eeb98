"""dictionary_learning's own classes, loader and trainers against ours, in an environment of its own: docs/sae-formats.md."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from monoseme.interchange import ExportSource, ForeignSae, export_sae, read_saes
from monoseme.interchange.dictionary_learning import DictionaryLearning
from monoseme.models import Site
from monoseme.saes import SAE
from tests.interchange.test_dictionary_learning_export import MADE, WRITE, learned

pytestmark = pytest.mark.peers
Record = Callable[[str, object], None]
"""pytest's `record_property`: the errors that docs/sae-formats.md states, in the report of `--junitxml`."""

_STUBS = """
import importlib.machinery, json, pathlib, sys
from unittest.mock import MagicMock
for name in ("nnsight", "datasets", "zstandard", "wandb", "umap", "circuitsvis", "circuitsvis.activations", "pandas", "plotly"):
    sys.modules[name] = MagicMock(__spec__=importlib.machinery.ModuleSpec(name, None))
import torch
from torch import nn
torch.manual_seed(0)
D, F, K, SIZES = 7, 23, 3, [4, 8, 11]
from dictionary_learning import dictionary
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE, BatchTopKTrainer
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE, MatryoshkaBatchTopKTrainer
from dictionary_learning.trainers.standard import StandardTrainer
from dictionary_learning.trainers.top_k import AutoEncoderTopK, TopKTrainer
def keep(ae, folder, name, **shown):
    x = torch.load(folder.parent / "x.pt")
    with torch.no_grad():
        codes = ae.encode(x, **shown)
        torch.save({"codes": codes, "x_hat": ae.decode(codes)}, folder.parent / f"{name}.shown.pt")
"""

_RANDOM = """
made = {
    "AutoEncoder": dictionary.AutoEncoder(D, F),
    "AutoEncoderNew": dictionary.AutoEncoderNew(D, F),
    "GatedAutoEncoder": dictionary.GatedAutoEncoder(D, F),
    "JumpReluAutoEncoder": dictionary.JumpReluAutoEncoder(D, F),
    "AutoEncoderTopK": AutoEncoderTopK(D, F, K),
    "BatchTopKSAE": BatchTopKSAE(D, F, K),
    "MatryoshkaBatchTopKSAE": MatryoshkaBatchTopKSAE(D, F, K, SIZES),
}
for name, ae in made.items():
    for parameter in ae.parameters():
        nn.init.normal_(parameter)
    if "TopK" in name:
        ae.threshold.fill_(1.5)
    at = folder / name
    at.mkdir()
    torch.save({key: value.cpu() for key, value in ae.state_dict().items()}, at / "ae.pt")
    trainer = {"dict_class": name, "submodule_name": "resid_post_layer_8", "lm_name": "pythia", "layer": 8, "k": K}
    (at / "config.json").write_text(json.dumps({"trainer": trainer}))
    keep(ae, at, name)
    if name == "AutoEncoderTopK":
        keep(ae, at, "by_threshold", use_threshold=True)
    if name == "JumpReluAutoEncoder":
        ae.apply_b_dec_to_input = True
        keep(ae, at, "applied")
    if name == "BatchTopKSAE":
        ae.threshold.fill_(-1.0)
        keep(ae, at, "unset")
"""

_TRAINED = """
from dictionary_learning.training import trainSAE
common = {"activation_dim": D, "dict_size": F, "layer": 8, "lm_name": "pythia", "submodule_name": "resid_post_layer_8"}
common |= {"steps": 60, "warmup_steps": 5, "lr": 1e-2, "seed": 0, "device": "cpu"}
topk = {**common, "k": K, "threshold_start_step": 20}
ways = [
    {**topk, "trainer": TopKTrainer},
    {**topk, "trainer": BatchTopKTrainer},
    {**common, "trainer": StandardTrainer, "sparsity_warmup_steps": 5, "l1_penalty": 0.05},
    {**topk, "trainer": MatryoshkaBatchTopKTrainer, "group_fractions": [0.2, 0.3, 0.5]},
]
mix = torch.randn(9, D)
class Data:
    config = {"d_submodule": D, "io": "out", "ctx_len": 16}
    def __iter__(self):
        while True:
            yield (torch.rand(64, 9) * (torch.rand(64, 9) < 0.3)) @ mix * 4 + 1
trainSAE(Data(), ways, 60, save_steps=[30], save_dir=str(folder), normalize_activations=True, device="cpu")
classes = [AutoEncoderTopK, BatchTopKSAE, dictionary.AutoEncoder, MatryoshkaBatchTopKSAE]
for i, kind in enumerate(classes):
    options = {"normalize_decoder": False} if kind is dictionary.AutoEncoder else {}
    keep(kind.from_pretrained(str(folder / f"trainer_{i}" / "ae.pt"), **options), folder / f"trainer_{i}", f"trainer_{i}")
    print(kind.__name__)
"""

_LOADED = """
from dictionary_learning.utils import load_dictionary
for at in sorted(path for path in folder.iterdir() if (path / "ae.pt").is_file()):
    ae, config = load_dictionary(str(at), "cpu")
    assert type(ae).__name__ == config["trainer"]["dict_class"] == at.name
    keep(ae, at, at.name)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.save(torch.randn(40, 7, generator=torch.Generator().manual_seed(3)) * 3 + 1, tmp_path / "x.pt")
    return tmp_path


def _run(code: str, folder: Path) -> None:
    """Runs `code` by the Python of the peer's environment, in the folder that MONOSEME_PEERS names."""
    place = os.environ.get("MONOSEME_PEERS")
    python = Path(place or ".") / "dictionary_learning" / "bin" / "python"
    if place is None or not python.is_file():
        pytest.skip("MONOSEME_PEERS names no folder with an environment dictionary_learning; docs/sae-formats.md says how")
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONWARNINGS")}
    words = [str(python), "-c", f"{_STUBS}\nfolder = pathlib.Path({str(folder)!r})\n{code}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False, env=clean | {"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr


def _read(path: Path, **told: Any) -> ForeignSae:
    (read,) = read_saes(path, config=DictionaryLearning.Config(**told))
    return read.found


def _off(sae: SAE, shown: Path, x: Path) -> float:
    """The largest difference of codes and of reconstructions, each over the largest number."""
    theirs, given = torch.load(shown), torch.load(x)
    with torch.no_grad():
        ours = {"codes": sae.encode(given).dense(), "x_hat": sae(given)}
    assert 0 < int((theirs["codes"] > 0).sum()) < theirs["codes"].numel()
    return max(float((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()) for name in ours)


def test_random_weights_of_every_class(folder: Path, record_property: Record) -> None:
    _run(_RANDOM, folder)
    names = ["AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder", "AutoEncoderTopK", "BatchTopKSAE"]
    names.append("MatryoshkaBatchTopKSAE")
    off = {name: _off(_read(folder / name).sae, folder / f"{name}.shown.pt", folder / "x.pt") for name in names}
    told = {
        "by_threshold": _read(folder / "AutoEncoderTopK", use_threshold=True),
        "applied": _read(folder / "JumpReluAutoEncoder", apply_b_dec_to_input=True),
    }
    off |= {name: _off(found.sae, folder / f"{name}.shown.pt", folder / "x.pt") for name, found in told.items()}
    state = torch.load(folder / "BatchTopKSAE" / "ae.pt")
    torch.save({**state, "threshold": torch.tensor(-1.0)}, folder / "BatchTopKSAE" / "ae.pt")
    off["unset"] = _off(_read(folder / "BatchTopKSAE").sae, folder / "unset.shown.pt", folder / "x.pt")
    record_property("largest errors, random weights", {name: f"{value:.1e}" for name, value in off.items()})
    assert max(off.values()) <= 1e-5


def test_what_the_tool_trained(folder: Path, record_property: Record) -> None:
    _run(_TRAINED, folder)
    read = read_saes(folder)
    assert [one.found.facts["dict_class"] for one in read] == [
        "AutoEncoderTopK",
        "BatchTopKSAE",
        "AutoEncoder",
        "MatryoshkaBatchTopKSAE",
    ]
    off = {one.found.name: _off(one.found.sae, folder / f"{one.found.name}.shown.pt", folder / "x.pt") for one in read}
    record_property("largest errors, trained by the tool", {name: f"{value:.1e}" for name, value in off.items()})
    assert max(off.values()) <= 1e-5
    assert not any("never set" in note for one in read for note in one.found.notes)
    assert {str(one.sites) for one in read} == {"(Site.parse('resid_post.8'),)"}
    assert read[1].found.facts["buffer"]["ctx_len"] == 16
    assert _read(folder / "trainer_0" / "checkpoints" / "ae_30.pt").name == "ae_30"


def test_its_loader_takes_what_is_exported(folder: Path, record_property: Record) -> None:
    source = ExportSource(name="one", sites=(Site.parse("resid_post.8"),), model="pythia")
    saes = {name: (learned(config), told) for name, (config, told) in MADE.items()}
    for name, (sae, told) in saes.items():
        export_sae(sae, folder / name, format="dictionary_learning", source=source, config=WRITE(**told))
        assert json.loads((folder / name / "config.json").read_text())["trainer"]["dict_class"] == name
    _run(_LOADED, folder)
    off = {name: _off(sae, folder / f"{name}.shown.pt", folder / "x.pt") for name, (sae, _) in saes.items()}
    record_property("largest errors, exported", {name: f"{value:.1e}" for name, value in off.items()})
    assert max(off.values()) <= 1e-5
