"""The study of attribution on the tiny run: its tables, its files, its figures, and where the nodes of a drawn graph lie."""

import json
import shutil
from pathlib import Path

import pytest

from monoseme.attribution.graph import Node
from monoseme.core.errors import ArtifactDamagedError, ConfigError, SiteError
from monoseme.models import ModelConfig
from monoseme.pipeline import RunFolder
from monoseme.studies import STUDIES
from monoseme.studies._attribution.estimates import Effects, read_effects, write_effects
from monoseme.studies._attribution.layout import lay_out_nodes
from monoseme.studies.attribution import Attribution


def _study(*saes: Path, **settings: object) -> Attribution:
    STUDIES.get("attribution")  # gives it its name
    few = {"prompt": "the cat saw the dog", "n_steps": 2}
    return Attribution(Attribution.Config(sae=tuple(map(str, saes)), **(few | settings)))  # pyright: ignore


def test_a_graph_its_files_and_what_ablation_says_of_it(studied_run: RunFolder, tmp_path: Path):
    with pytest.warns(UserWarning, match="mlsae cannot be in an attribution graph"):
        found = _study(studied_run.sae("topk"), studied_run.sae("mlsae")).investigate(tmp_path)
    assert "left out: mlsae cannot be in an attribution graph" in found.text
    made = json.loads(found.files["prompt.json"])
    nodes, edges = found.tables["nodes"], found.tables["edges"]
    assert {node["node_id"] for node in made["nodes"]} == {row["node"] for row in nodes}
    assert {(link["source"], link["target"]) for link in made["links"]} == {(row["source"], row["target"]) for row in edges}
    assert {row["kind"] for row in nodes} >= {"token", "logit"}
    effects = found.tables["effects"]
    assert len(effects) > 0
    assert all(row[name] is not None for row in effects for name in ("graph", "gradient", "integrated", "ablation", "promotes"))
    assert {(row["sae"], row["estimate"]) for row in found.tables["agreement"]} == {
        ("topk", name) for name in ("graph", "gradient", "integrated")
    }
    metrics = {metric.name: metric.value for metric in found.metrics["graph"]}
    assert 0 < (metrics["replacement"] or 0) <= 1
    assert 0 < (metrics["completeness"] or 0) <= 1
    assert [figure.name for figure in found.figures] == ["graph", "estimates"]
    assert all(figure.spec() for figure in found.figures)
    assert read_effects(tmp_path / "effects.json").by["graph"].keys() <= set(read_effects(tmp_path / "effects.json").keys)


def test_effects_are_kept_whole(tmp_path: Path):
    keys = [("a", 1, 5), ("b", 2, 5)]
    effects = Effects(keys, {"graph": {keys[0]: 0.1}, "ablation": {keys[0]: 1 / 3, keys[1]: -2.0}})
    write_effects(tmp_path / "effects.json", effects)
    assert read_effects(tmp_path / "effects.json") == effects
    (tmp_path / "effects.json").write_text("{}")
    with pytest.raises(ArtifactDamagedError, match="Delete it"):
        read_effects(tmp_path / "effects.json")


def test_what_a_graph_cannot_hold_is_refused(studied_run: RunFolder, tmp_path: Path):
    with pytest.raises(SiteError, match="none of these SAEs can be in an attribution graph"):
        _study(studied_run.sae("mlsae")).investigate(tmp_path)
    with pytest.raises(SiteError, match="both stand for"):
        _study(studied_run.sae("topk"), studied_run.sae("tsae")).investigate(tmp_path)
    with pytest.raises(ConfigError, match="leave out --part"):
        _study(part=("high",))
    with pytest.raises(ConfigError, match="node_threshold"):
        _study(node_threshold=0.0)


def test_an_sae_outside_of_a_run_needs_its_model_and_no_text(studied_run: RunFolder, model_folder: Path, tmp_path: Path):
    sae = shutil.copytree(studied_run.sae("topk"), tmp_path / "given")
    found = _study(sae, model=ModelConfig(model=str(model_folder))).investigate(tmp_path)
    assert found.tables["nodes"]


def test_no_two_nodes_lie_on_one_another_and_rows_are_in_order():
    rows = ["resid_pre.0", "resid_post.1", "logits"]
    nodes = [Node("latent", "sae", "resid_post.1", 1, i % 3, i, 1.0) for i in range(140)]
    nodes += [Node("token", None, "resid_pre.0", -1, s, s, 1.0) for s in range(3)]
    nodes += [Node("logit", None, "logits", 2, 2, token, 1.0, 0.1) for token in range(7)]
    found = lay_out_nodes(nodes, [1.0] * len(nodes), ["a", "long label", "c"], rows)
    assert len({(round(spot.x), round(spot.y)) for spot in found.spots}) == len(nodes)
    heights = {site: [spot.y for spot, node in zip(found.spots, nodes, strict=True) if node.site == site] for site in rows}
    assert max(heights["resid_pre.0"]) < min(heights["resid_post.1"]) <= max(heights["resid_post.1"]) < min(heights["logits"])
    assert all(0 <= spot.x <= found.width <= 760 for spot in found.spots)
    logits = [spot.x for spot, node in zip(found.spots, nodes, strict=True) if node.kind == "logit"]
    assert logits == sorted(logits, reverse=True), "the likeliest at the right"
