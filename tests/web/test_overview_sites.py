"""What the overview says of an SAE with codes at several sites, and with one code for several: measured where it says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from monoseme.evaluation.fidelity import Fidelity
from monoseme.pipeline import AtlasConfig, Materials, RunConfig, StreamConfig, evaluate_run, scan_run, train_run
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.tfa import TFA
from monoseme.text import CorpusConfig
from monoseme.training import TrainConfig
from monoseme.web import create_app

from .tiny_run import write_corpus

SITES = ("resid_post.1", "resid_post.3")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, dict[str, list[dict]]]]:
    """The app on a run of an MLSAE, a crosscoder and TFAs; the table `sites` of each evaluation by SAE."""
    folder: Path = tmp_path_factory.mktemp("sites")
    config = RunConfig(
        sites=SITES,
        corpus=CorpusConfig(source=str(write_corpus(folder / "notes.jsonl")), context_len=32),
        stream=StreamConfig(max_tokens=4_000, drop_sinks=False, validation_loss_tokens=None),
        train=TrainConfig(n_tokens=1_000, batch_size=256),
        fidelity=Fidelity.Config(max_tokens=300, max_loss_tokens=100, n_replicates=3),
        atlas=AtlasConfig(n_tokens=500, relations=False),
        saes=(
            MLSAE.Config(n_latents=37, k=3),
            Crosscoder.Config(n_latents=37, k=3),
            TFA.Config(n_latents=36, k=3, bottleneck=2, n_heads=2),
        ),
    )
    materials = Materials(config)
    run = train_run(config, folder / "run", materials=materials)
    measured = evaluate_run(run, materials=materials)
    scan_run(run, materials=materials)
    found = {name: results["fidelity"].tables for name, results in measured.items()}
    tables = {name: held["sites"].to_pylist() for name, held in found.items() if "sites" in held}
    with TestClient(create_app([run.path]), base_url="http://127.0.0.1") as client:
        yield client, tables


@pytest.fixture(scope="module")
def overview(asked: tuple[TestClient, dict[str, list[dict]]]) -> tuple[dict[str, dict], dict[str, list[dict]]]:
    """SAEs of the overview by name; the table `sites` of each evaluation by SAE."""
    client, tables = asked
    return {sae["name"]: sae for sae in client.get("/api/runs/run").json()["saes"]}, tables


def _of(metrics: list[dict], name: str) -> float:
    return next(metric["value"] for metric in metrics if metric["name"] == name)


def test_the_metrics_of_a_site_are_those_that_were_measured_there(
    overview: tuple[dict[str, dict], dict[str, list[dict]]],
) -> None:
    saes, tables = overview
    for name in ("fvu", "ce_recovered", "dead_fraction"):
        there = {row["site"]: row["value"] for row in tables["mlsae"] if row["metric"] == name}
        shown = {site: _of(saes[f"mlsae@{site}"]["metrics"], name) for site in SITES}
        assert shown == there
    assert len({_of(saes[f"mlsae@{site}"]["metrics"], "fvu") for site in SITES}) == 2
    assert all(saes[f"mlsae@{site}"]["site"] == site for site in SITES)


def test_one_code_for_several_sites_is_shown_with_all_of_them_and_its_mean(
    overview: tuple[dict[str, dict], dict[str, list[dict]]],
) -> None:
    saes, tables = overview
    assert saes["crosscoder"]["site"] == ", ".join(SITES)
    there = [row["value"] for row in tables["crosscoder"] if row["metric"] == "fvu"]
    assert _of(saes["crosscoder"]["metrics"], "fvu") == pytest.approx(sum(there) / len(there), rel=1e-9)


def test_a_latents_page_names_all_sites_of_its_code(asked: tuple[TestClient, dict[str, list[dict]]]) -> None:
    client, _ = asked
    told = {sae: client.get(f"/api/runs/run/saes/{sae}/latents/0").json()["site"] for sae in ("crosscoder", f"mlsae@{SITES[1]}")}
    assert told == {"crosscoder": ", ".join(SITES), f"mlsae@{SITES[1]}": SITES[1]}


def test_numbers_of_a_whole_code_say_so_where_one_part_of_it_is_shown(
    asked: tuple[TestClient, dict[str, list[dict]]], overview: tuple[dict[str, dict], dict[str, list[dict]]]
) -> None:
    saes, _ = overview
    told = {name: sae["measured_as"] for name, sae in saes.items()}
    parts = [name for name in told if name.endswith(".novel")]
    assert parts
    assert all(told[name] == f"the whole code of {name.removesuffix('.novel')}" for name in parts)
    assert all(told[name] == "" for name in told if name not in parts)
    client, _ = asked
    sides = client.get("/api/compare", params={"a": f"run:{parts[0]}", "b": "run:crosscoder"}).json()
    assert (sides["a"]["measured_as"], sides["b"]["measured_as"]) == (told[parts[0]], "")
