"""The study of the residual stream on the tiny model."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from tests.progress_totals import Totals

from monoseme.core.display import use_display
from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel, ModelConfig, Site
from monoseme.studies import STUDIES, run_study
from monoseme.studies.residual import Residual
from monoseme.text import CorpusConfig


def _study(model: Path, corpus: Path, **settings: object) -> Residual:
    text = CorpusConfig(source=str(corpus), context_len=16, holdout_fraction=0.3)
    STUDIES.get("residual")  # gives it its name
    return Residual(
        Residual.Config(model=ModelConfig(model=str(model)), corpus=text, n_replicates=40, max_tokens=2000, **settings)  # pyright: ignore
    )


def test_the_report_has_every_pair_of_layers(model_folder: Path, corpus_file: Path, tmp_path: Path):
    report = run_study(_study(model_folder, corpus_file, embedding=True), tmp_path / "out", command="monoseme study residual")
    n = LanguageModel.load(str(model_folder)).spec.n_layers + 1
    tables = {name: pq.read_table(report / "tables" / f"{name}.parquet").to_pylist() for name in ("adjacent", "layers", "pairs")}
    assert [len(rows) for rows in tables.values()] == [2 * (n - 1), n, 2 * n * n]
    for row in tables["pairs"]:
        assert row["low"] <= row["high"]
        assert row["mean"] == pytest.approx(1.0) if row["i"] == row["j"] else abs(row["mean"]) <= 1
    assert tables["layers"][0]["site"] == "resid_pre.0"
    figures = {"adjacent_cosine", "layer_similarity_centred", "layer_similarity_raw", "norms"}
    assert {path.stem for path in (report / "figures").glob("*.json")} == figures


def test_numbers_are_those_of_the_model(model_folder: Path, corpus_file: Path, tmp_path: Path):
    display = Totals()
    with use_display(display):
        found = _study(model_folder, corpus_file, drop_sinks=False).investigate(tmp_path)
    assert display.totals["cosines between layers"] == display.done["means of the layers"]
    assert display.missed() == {}
    model = LanguageModel.load(str(model_folder))
    sites = [Site("resid_post", layer) for layer in range(model.spec.n_layers)]
    source = _source(model_folder, corpus_file, sites)
    x = torch.cat([torch.stack([b.activations[s][b.mask] for s in sites], 1) for b in source.blocks()]).double()
    unit = torch.nn.functional.normalize(x - x.mean(0), dim=2)
    row = next(row for row in found.tables["adjacent"] if (row["kind"], row["i"]) == ("centred", 0))
    assert row["mean"] == pytest.approx(float((unit[:, 0] * unit[:, 1]).sum(1).mean()), rel=1e-9)
    assert row["n"] == len(x)
    assert found.tables["layers"][1]["mean"] == pytest.approx(float(x[:, 1].norm(dim=1).mean()), rel=1e-9)
    adjacent = [(unit[:, i] * unit[:, i + 1]).sum(1).mean() for i in range(len(sites) - 1)]
    (metrics,) = found.metrics.values()
    assert metrics[0].value == pytest.approx(float(sum(adjacent)) / len(adjacent), rel=1e-9)


def _source(model: Path, corpus: Path, sites: list[Site]):
    from monoseme.pipeline import Materials, RunConfig, StreamConfig

    study = _study(model, corpus, drop_sinks=False)
    run = RunConfig(model=study.config.model, corpus=study.config.corpus, stream=StreamConfig(max_tokens=2000, drop_sinks=False))
    materials = Materials(run, sites=sites)
    return materials.as_in_training(materials.text.contexts("all"))


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="max_tokens is 0"):
        Residual.Config(max_tokens=0)
