"""A run of two SAEs at one site, measured and scanned, with one figure of a report."""

import dataclasses
from pathlib import Path

import pytest

from monoseme.core.files import write_json
from monoseme.pipeline import Materials, RunFolder, evaluate_run, scan_run, train_run
from tests.pipeline.conftest import corpus_file, model_folder, tiny_config

__all__ = ["corpus_file", "model_folder"]

_SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><rect width="9" height="7" fill="#359"/></svg>'


@pytest.fixture(scope="session")
def run(model_folder: Path, corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    config = dataclasses.replace(tiny_config(model_folder, corpus_file, n_steps=3), sites=("resid_post.0",))
    materials = Materials(config)
    made = train_run(config, tmp_path_factory.mktemp("runs") / "tiny", materials=materials)
    evaluate_run(made, materials=materials)
    scan_run(made, materials=materials)
    figures = made.report / "figures"
    figures.mkdir(parents=True)
    (figures / "density.svg").write_text(_SVG)
    write_json(figures / "density.json", {"title": {"text": "How often latents fire"}})
    return made
