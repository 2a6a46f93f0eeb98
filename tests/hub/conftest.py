"""A small run with everything that travels: two SAEs, what was measured, an atlas with explanations; made in a second."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from monoseme.atlas import Target, TextNames, explain_latents, open_atlas, scan, score_explanations
from monoseme.core.artifact import open_artifact
from monoseme.core.files import write_atomic, write_json
from monoseme.evaluation import EvalResult, Metric, write_report
from monoseme.pipeline import RUN_FILE, RunFolder
from monoseme.saes import save_sae
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.topk import TopK

sys.path.insert(0, str(Path(__file__).parents[1] / "atlas"))

from atlas_fakes import SITE, FakeSAE, planted_model, planted_source

SECRET = "/home/somebody-secret/data"
"""A path of a machine, planted wherever one may stand."""
MODEL, CORPUS = f"{SECRET}/tiny-model", f"{SECRET}/texts.jsonl"


def make_run(folder: Path, *, model: str = MODEL, corpus: str = CORPUS) -> RunFolder:
    """SAEs `topk` and `batchtopk` of D=7, F=5; everything else is about `topk`."""
    torch.manual_seed(0)
    for name, sae in (("topk", TopK(_config(TopK))), ("batchtopk", BatchTopK(_config(BatchTopK)))):
        trained = {"architecture": name, "k": 2, "n_latents": 5}
        extra = {"model": model, "site": str(SITE), "tokens_trained": 4096, "trained_as": trained, "kernels": "torch"}
        save_sae(sae.export(), folder / "saes" / name, inputs={"text": "sha256:ab"}, extra_config=extra)
    run = RunFolder(folder)
    found = open_artifact(run.sae("topk")).content_hash
    write_report(
        _result(), run.evaluation("topk", "fidelity"), config={"evaluation": "fidelity", "text": corpus}, inputs={"sae": found}
    )
    names = TextNames(sources={0: f"{corpus}:0", 1: f"{corpus}:1"}, labels=lambda i: {"domain": f"d{i % 2}"})
    target = Target("topk", FakeSAE(5), (SITE,), sae_hash=found)
    scan(planted_source(), [target], run.atlas, model=planted_model(), names=names)
    atlas = open_atlas(run.atlas)
    explain_latents(atlas, "topk")
    score_explanations(atlas, "topk")
    rows = [
        {"event": "train", "step": step, "tokens": 64 * step, "sae": name, "fvu": 1 / step, "lr": 0.004, "rss_mb": 1.0}
        for step in (1, 2)
        for name in ("topk", "batchtopk")
    ]
    write_atomic(run.training / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / RUN_FILE, _record(model, corpus))
    return run


def _config(kind: type[TopK] | type[BatchTopK]) -> TopK.Config | BatchTopK.Config:
    return kind.Config(d_in=7, n_latents=5, k=2, sites=(str(SITE),))


def _result() -> EvalResult:
    said = {"unit": "fraction", "n": 4000, "n_documents": 31, "better": "lower", "definition": "What it is."}
    known = Metric(name="fvu", value=0.25, standard_error=0.01, **said)  # pyright: ignore[reportArgumentType]
    missing = Metric(name="kl", value=None, why_missing="no model was given", **said)  # pyright: ignore[reportArgumentType]
    return EvalResult(evaluation="fidelity", subject="topk", metrics=(known, missing), tables={}, facts={})


def _record(model: str, corpus: str) -> dict[str, object]:
    return {
        "kind": "run",
        "schema": 1,
        "package_version": "0.1.0",
        "config": {
            "model": {"model": model, "trust_remote_code": False},
            "corpus": {"source": corpus, "context_len": 128, "holdout_fraction": 0.1},
            "saes": [{"architecture": "topk", "n_latents": 5, "k": 2}],
            "start_from": [f"{SECRET}/older"],
            "stream": {"activations": [f"{SECRET}/store"]},
            "train": {"batch_size": 64, "optimiser": "adam", "lr": None, "trackers": ["wandb"]},
            "atlas": {"explain": {"judge": "compatible", "judge_config": {"url": "http://somebody-secret:8000"}}},
        },
        "jobs": {"topk": str(SITE), "batchtopk": str(SITE)},
        "artifacts": {
            "training": "training",
            "saes": {"topk": "saes/topk", "batchtopk": "saes/batchtopk"},
            "evaluations": {"topk": {"fidelity": "evaluations/topk/fidelity"}},
            "atlas": "atlas",
            "report": "report",
        },
        "environment": {"host": "somebody-secret"},
    }


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Read it only."""
    return make_run(tmp_path_factory.mktemp("runs") / "made")


@pytest.fixture
def own(made: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy to break."""
    shutil.copytree(made.path, tmp_path / "own")
    return RunFolder(tmp_path / "own")
