"""Exports load in the peers' own classes, each in an environment of its own: docs/formats.md says how to make them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monoseme.atlas import Atlas
from monoseme.atlas.formats import ATLAS_FORMATS, export_atlas
from monoseme.atlas.formats.circuit_tracer import cantor

pytestmark = pytest.mark.peers

_DASHBOARD = """
from sae_dashboard.neuronpedia.neuronpedia_dashboard import NeuronpediaDashboardBatch
found = []
for path in sorted(folder.glob("batch-*.json")):
    given = json.loads(path.read_text())
    batch = NeuronpediaDashboardBatch(**given)
    assert batch.features == NeuronpediaDashboardBatch(**given).features
    for feature, back in zip(given["features"], batch.to_dict()["features"], strict=True):
        assert {name: back[name] for name in feature} == feature
        found.append(back["feature_index"])
print(json.dumps(found))
"""

_NEURONPEDIA = """
import gzip
from neuronpedia.np_activation import Activation
from neuronpedia.np_explanation import Explanation
def rows(kind):
    lines = gzip.decompress((folder / "tiny" / "1-topk" / kind / "batch-0.jsonl.gz").read_bytes()).splitlines()
    return [json.loads(line) | {"source": "1-topk"} for line in lines]
activations = [Activation.from_np_db_json(row) for row in rows("activations")]
explanations = [Explanation.from_np_db_json(row) for row in rows("explanations")]
print(json.dumps([len(activations), {one.index: one.text for one in explanations}]))
"""

_SAEBENCH = """
from pydantic import TypeAdapter
from sae_bench.evals.autointerp.eval_output import AutoInterpEvalOutput
(path,) = folder.iterdir()
found = TypeAdapter(AutoInterpEvalOutput).validate_json(path.read_text())
print(json.dumps(found.eval_result_metrics.autointerp.autointerp_score))
"""

_CIRCUIT_TRACER = """
import gzip, urllib.request
from circuit_tracer.frontend.feature_models import Model
from circuit_tracer.frontend.local_server import serve
server = serve(str(folder), port=0)
address = f"http://127.0.0.1:{server.httpd.server_address[1]}/data/features"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
found = {}
for path in (folder / "features").iterdir():
    feature = Model.model_validate_json(opener.open(f"{address}/{path.name}", timeout=10).read())
    found[path.stem] = [feature.index, sum(len(quantile.examples) for quantile in feature.examples_quantiles)]
server.stop()
print(json.dumps(found))
"""

_PACKED = """
import gzip
from circuit_tracer.frontend.feature_models import Model
layer = json.loads(gzip.decompress((folder / "features" / "index.json.gz").read_bytes()))["1"]
content, found = (folder / "features" / layer["filename"]).read_bytes(), []
for begin, end in zip(layer["offsets"], layer["offsets"][1:]):
    if begin < end:
        asked = content[begin : end + 1]  # its front end asks for the bytes begin to end, both of them
        length = int.from_bytes(asked[:4], "little")
        found.append(Model.model_validate_json(gzip.decompress(asked[4 : 4 + length])).index)
print(json.dumps(found))
"""

_DELPHI = """
import importlib.machinery, sys
from unittest.mock import MagicMock
for name in ("faiss", "sentence_transformers"):  # for hard negatives, which are not asked for here
    sys.modules[name] = MagicMock(__spec__=importlib.machinery.ModuleSpec(name, None))
import torch
from delphi.config import ConstructorConfig, SamplerConfig
from delphi.latents import LatentDataset
class Tokenizer:
    def batch_decode(self, tokens):
        return [str(int(token)) for token in tokens]
sampled = SamplerConfig(n_examples_train=10, n_examples_test=10, n_quantiles=5)
made = ConstructorConfig(min_examples=5, n_non_activating=5, example_ctx_len=32)
def load(**chosen):
    return LatentDataset(str(folder / "latents"), sampled, made, tokenizer=Tokenizer(), **chosen)
dataset = load()
rates = {one.latent.latent_index: one.per_token_frequency * dataset.tokens.numel() for one in dataset}
some = load(modules=["layers.1"], latents={"layers.1": torch.tensor([3, 4])})
print(json.dumps([list(dataset.tokens.shape), rates, [str(one.latent) for one in some]]))
"""

_DATASETS = """
import torch
from datasets import load_dataset
from safetensors.torch import load_file
rows = load_dataset(str(folder / "examples"), split="train", cache_dir=str(folder / "cache"))
dists = load_dataset(str(folder / "dists"), split="train", cache_dir=str(folder / "cache"))
tensors = load_file(folder / "dists.safetensors")
assert torch.tensor(dists["counts"][:]).T.equal(tensors["counts"].double())
print(json.dumps([len(rows), rows.column_names, json.loads(rows[0]["tokens"]), tensors["counts"].shape]))
"""


def _loaded(environment: str, code: str, folder: Path) -> Any:
    """What `code` prints, run by the Python of an environment in the folder that MONOSEME_PEERS names."""
    place = os.environ.get("MONOSEME_PEERS")
    python = Path(place or ".") / environment / "bin" / "python"
    if place is None or not python.is_file():
        pytest.skip(f"MONOSEME_PEERS names no folder with an environment {environment}; docs/formats.md says how to make it")
    words = [str(python), "-c", f"import json, pathlib\nfolder = pathlib.Path({str(folder)!r})\n{code}"]
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONWARNINGS")}
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False, env=clean | {"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _export(atlas: Atlas, out: Path, name: str, **settings: Any) -> Path:
    config = ATLAS_FORMATS.get(name).Config(**settings)
    decoders = {"topk": np.ones((5, 3), np.float32)}
    return export_atlas(atlas, "topk", out, format=name, config=config, decoders=decoders).out


def test_saedashboard_reads_its_batches(planted: Atlas, tmp_path: Path) -> None:
    assert _loaded("dashboard", _DASHBOARD, _export(planted, tmp_path / "out", "saedashboard", latents_per_batch=3)) == [
        0,
        1,
        3,
        4,
    ]


def test_the_client_of_neuronpedia_reads_rows(planted: Atlas, tmp_path: Path) -> None:
    n_rows, said = _loaded("dashboard", _NEURONPEDIA, _export(planted, tmp_path / "out", "neuronpedia", model_id="tiny"))
    pages = [planted.latent("topk", latent) for latent in (0, 1, 3, 4)]
    assert n_rows == sum(len(page.top) + sum(len(decile.examples) for decile in page.deciles) for page in pages)
    assert said == {str(page.latent): page.explanations[0].text for page in pages if page.explanations[0].text is not None}


def test_saebench_validates_the_result(planted: Atlas, tmp_path: Path) -> None:
    out = _export(planted, tmp_path / "out", "saebench_autointerp")
    (path,) = out.iterdir()
    told = json.loads(path.read_text())["eval_result_metrics"]["autointerp"]["autointerp_score"]
    assert _loaded("dashboard", _SAEBENCH, out) == told


def test_the_server_of_circuit_tracer_gives_features(planted: Atlas, tmp_path: Path) -> None:
    found = _loaded("circuit", _CIRCUIT_TRACER, _export(planted, tmp_path / "out", "circuit_tracer", packed=False))
    pages = [planted.latent("topk", latent) for latent in (0, 1, 3, 4)]
    assert found == {
        str(cantor(1, page.latent)): [page.latent, len(page.top) + sum(len(decile.examples) for decile in page.deciles)]
        for page in pages
    }


def test_packed_features_are_circuit_tracers(planted: Atlas, tmp_path: Path) -> None:
    assert _loaded("circuit", _PACKED, _export(planted, tmp_path / "out", "circuit_tracer")) == [0, 1, 3, 4]


def test_delphis_dataset_loads_the_cache(planted: Atlas, tmp_path: Path) -> None:
    shape, rates, some = _loaded("delphi", _DELPHI, _export(planted, tmp_path / "out", "delphi", n_splits=2))
    assert shape == [77, 32]
    fired = {str(latent): planted.latent("topk", latent).stats.n_fired for latent in (0, 1, 3, 4)}
    assert {latent: round(rate) for latent, rate in rates.items()} == fired
    assert some == ["layers.1_latent3", "layers.1_latent4"]


def test_datasets_loads_the_rows_of_mlsae(planted: Atlas, tmp_path: Path) -> None:
    n_rows, columns, tokens, shape = _loaded("delphi", _DATASETS, _export(planted, tmp_path / "out", "mlsae"))
    assert n_rows == sum(len(planted.latent("topk", latent).top) for latent in range(5))
    assert columns == ["id", "latent", "layer", "token_id", "token", "act", "token_ids", "tokens", "acts"]
    assert (len(tokens) <= 8, shape) == (True, [1, 5])
