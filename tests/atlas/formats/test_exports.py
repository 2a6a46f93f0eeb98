"""What is exported says of each latent what its page says, is whole or absent, and is the same every time."""

import gzip
import json
import math
import sqlite3
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from atlas_fakes import SITE, WORDS, FakeLayersSAE, FakeSource, planted_source
from hypothesis import given
from hypothesis import strategies as st

from monoseme.atlas import Atlas, ScanConfig, Target, TextNames, open_atlas, scan
from monoseme.atlas.choice import LatentChoice
from monoseme.atlas.formats import ATLAS_FORMATS, ExportChoice, Exported, export_atlas, read_notes
from monoseme.atlas.formats._dashboard import linear_bars
from monoseme.atlas.formats._mlsae_dists import LayerDists, read_dists
from monoseme.atlas.formats.circuit_tracer import cantor, from_cantor
from monoseme.atlas.pages import Histogram
from monoseme.core.errors import ArtifactExistsError, ConfigError
from monoseme.models.site import Site

DEAD = 2
WITH_EXAMPLES = ("circuit_tracer", "mlsae", "neuronpedia", "saedashboard")


def _export(atlas: Atlas, out: Path, name: str, **options: Any) -> Exported:
    config = ATLAS_FORMATS.get(name).Config(**options.pop("settings", {}))
    return export_atlas(atlas, options.pop("sae", "topk"), out, format=name, config=config, **options)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_come_back_as_the_pages_show_them(planted: Atlas, tmp_path: Path, name: str) -> None:
    _export(planted, tmp_path / "out", name)
    noted = list(read_notes(tmp_path / "out").examples())
    assert {one.latent for one in noted} == {0, 1, 3, 4}
    page = planted.latent("topk", 3)
    found = [one for one in noted if one.latent == 3][: len(page.top)]
    assert len(found) == len(page.top) > 1
    for shown, example in zip(found, page.top, strict=True):
        side = slice(max(0, example.focus - 4), example.focus + 4) if name == "mlsae" else slice(None)
        assert shown.texts == example.texts[side]
        assert shown.values == pytest.approx([value or 0.0 for value in example.values[side]], rel=1e-4)
        assert shown.focus in (None, example.focus)


@pytest.mark.parametrize("name", sorted({*WITH_EXAMPLES, "delphi", "saebench_autointerp", "tsae"}))
def test_the_same_atlas_is_the_same_bytes(planted: Atlas, tmp_path: Path, name: str) -> None:
    found = [_export(planted, tmp_path / place, name) for place in "ab"]
    files = [sorted(path.relative_to(one.out) for path in one.out.rglob("*") if path.is_file()) for one in found]
    assert files[0] == files[1]
    assert len(files[0]) == found[0].n_files
    assert [(tmp_path / "a" / file).read_bytes() for file in files[0]] == [
        (tmp_path / "b" / file).read_bytes() for file in files[1]
    ]


def test_an_export_that_fails_leaves_nothing_and_none_is_written_over(planted: Atlas, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no explanation with a certainty"):
        _export(planted, tmp_path / "out", "llama3")
    with pytest.raises(ConfigError, match="no latent 5"):
        _export(planted, tmp_path / "out", "tsae", choice=ExportChoice(which=LatentChoice(latents="5")))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    with pytest.raises(ArtifactExistsError):
        _export(planted, tmp_path / "out", "tsae")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_dashboard_has_the_statistics_of_the_latent(planted: Atlas, tmp_path: Path) -> None:
    vectors = np.arange(15, dtype=np.float32).reshape(5, 3) - 5
    found = _export(planted, tmp_path / "out", "saedashboard", settings={"latents_per_batch": 3}, decoders={"topk": vectors})
    batches = [json.loads((found.out / f"batch-{i}.json").read_text()) for i in (0, 1)]
    assert [[feature["feature_index"] for feature in batch["features"]] for batch in batches] == [[0, 1, 3], [4]]
    assert json.loads((found.out / "skipped_indexes.json").read_text())["skipped_indexes"] == [DEAD]
    feature, page = batches[0]["features"][2], planted.latent("topk", 3)
    assert feature["frac_nonzero"] == page.stats.density
    assert feature["pos_str"] == [token.text for token in page.top_logits][:10]
    assert len(feature["freq_hist_data_bar_heights"]) == 50
    assert math.fsum(feature["freq_hist_data_bar_heights"]) == pytest.approx(page.stats.n_fired, rel=1e-4)
    # row 3 is [4, 5, 6]: the largest first, as shares of 15
    assert (feature["neuron_alignment_indices"], feature["neuron_alignment_values"]) == ([2, 1, 0], [6.0, 5.0, 4.0])
    assert feature["neuron_alignment_l1"] == pytest.approx([6 / 15, 5 / 15, 4 / 15], rel=1e-4)
    top = feature["activations"][0]
    assert (top["bin_min"], top["bin_contains"], top["bin_max"]) == (-1, -1, page.stats.max)
    assert top["values"][top["qualifying_token_index"]] == page.top[0].value
    assert [row["bin_contains"] for row in feature["activations"][len(page.top) :]] == [0.1] * sum(
        len(decile.examples) for decile in page.deciles
    )


def test_neuronpedia_has_a_row_for_each_latent_example_and_explanation(planted: Atlas, tmp_path: Path) -> None:
    found = _export(planted, tmp_path / "out", "neuronpedia", settings={"model_id": "tiny", "set_name": "mine"})
    source = found.out / "tiny" / "1-mine"
    features, activations = (_rows(source / kind / "batch-0.jsonl.gz") for kind in ("features", "activations"))
    assert [(row["modelId"], row["layer"], row["index"]) for row in features] == [("tiny", "1-mine", i) for i in "0134"]
    assert len({row["id"] for row in activations}) == len(activations)
    assert all(row["values"][row["maxValueTokenIndex"]] == row["maxValue"] == max(row["values"]) for row in activations)
    said = {one.latent: one.text for one in read_notes(found.out).explanations}
    explained = (planted.latent("topk", latent).explanations[0] for latent in range(5))
    assert said == {one.latent: one.text for one in explained if one.text is not None}
    assert json.loads((source / "source.jsonl").read_text())["id"] == "1-mine"


def test_packed_features_lie_where_the_index_says(planted: Atlas, tmp_path: Path) -> None:
    folder = _export(planted, tmp_path / "out", "circuit_tracer").out / "features"
    offsets = json.loads(gzip.decompress((folder / "index.json.gz").read_bytes()))["1"]["offsets"]
    content = (folder / "layer_1.bin").read_bytes()
    assert (len(offsets), offsets[-1], offsets[DEAD], offsets[0]) == (6, len(content), offsets[DEAD + 1], 0)
    # as the front end reads one: the length, then so many bytes, whatever follows
    begin, end = offsets[3], offsets[4] + 1
    length = struct.unpack("<I", content[begin : begin + 4])[0]
    feature = json.loads(gzip.decompress(content[begin:end][4 : 4 + length]))
    assert (feature["index"], feature["act_max"]) == (3, planted.latent("topk", 3).stats.max)
    assert [one["quantile_name"] for one in feature["examples_quantiles"]][:2] == ["Top activations", "Tenth 10 of 10"]
    plain = _export(planted, tmp_path / "plain", "circuit_tracer", settings={"packed": False}).out / "features"
    assert json.loads((plain / f"{cantor(1, 3)}.json").read_text()) == feature


@given(st.integers(0, 200), st.integers(0, 2**20))
def test_the_pairing_of_layer_and_feature_has_an_inverse(layer: int, feature: int) -> None:
    assert from_cantor(cantor(layer, feature)) == (layer, feature)


def test_the_pairing_is_that_of_the_front_end() -> None:
    # worked by its formula: layer 7 and feature 11 are 18 * 19 / 2 + 11
    assert cantor(7, 11) == 182
    assert [from_cantor(number) for number in range(6)] == [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=7), st.floats(0.01, 0.99))
def test_bars_of_equal_width_keep_the_sum_of_the_counts(counts: list[int], share: float) -> None:
    edges = tuple(2.0 ** (i / 4) for i in range(len(counts) + 1))
    maximum = edges[-2] + share * (edges[-1] - edges[-2])
    bars = linear_bars(Histogram(edges=edges, counts=tuple(counts)), maximum)
    five_digits = 1e-4
    assert math.fsum(bars.heights) == pytest.approx(sum(counts), rel=five_digits, abs=1e-9)
    assert edges[0] * (1 - five_digits) <= bars.values[0] <= bars.values[-1] <= maximum * (1 + five_digits)


def test_a_bin_is_spread_evenly_over_the_bars_it_covers() -> None:
    # 4 firings in [1, 2) and 2 in [2, 4), of which the largest is 3: bars of width 0.5
    bars = linear_bars(Histogram(edges=(1.0, 2.0, 4.0), counts=(4, 2)), 3.0, n_bars=4)
    assert bars.heights == (2.0, 2.0, 1.0, 1.0)
    assert bars.values == (1.25, 1.75, 2.25, 2.75)
    assert linear_bars(None, None) == ((), ())


def test_the_published_row_of_mlsae_is_computed() -> None:
    # mlsae-gpt2-x64-k32-dists, latent 0
    totals = [43.9369, 0, 10.7055, 9.9403, 3.8751, 10.3349, 17.1488, 4.0187, 6.6045, 19.4476, 37.7656, 0]
    counts = np.zeros((12, 1), np.float32)
    counts[0] = 126
    row = next(iter(LayerDists(counts, np.array(totals, np.float32)[:, None]).rows()))
    published = {"total": 163.77798, "layer_mean": 5.220184, "layer_var": 15.74347, "layer_std": 3.967804, "mean": 1.299825}
    assert {name: row[name] for name in published} == pytest.approx(published, rel=1e-6)  # its totals have six digits


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """An SAE with codes at two sites, the second at twice the activations of the first."""
    folder, sites = tmp_path_factory.mktemp("layers") / "atlas", (Site.parse("resid_post.0"), SITE)
    blocks = [
        block._replace(activations={sites[0]: block.activations[SITE], sites[1]: 2 * block.activations[SITE]})
        for block in planted_source().given
    ]
    names = TextNames(texts=lambda ids: [WORDS[i] for i in ids])
    config = ScanConfig(n_kept_tokens=0)
    scan(FakeSource(blocks, sites), [Target("deep", FakeLayersSAE(5), sites)], folder, config=config, names=names)
    return open_atlas(folder)


def test_mlsae_holds_all_layers_of_an_sae(layers: Atlas, tmp_path: Path) -> None:
    out = _export(layers, tmp_path / "out", "mlsae", sae="deep", settings={"n_examples": 2}).out
    dists = read_dists(out / "dists.safetensors")
    fired = layers.latents("deep@resid_post.0").column("n_fired")
    assert dists.counts.tolist() == [fired, fired]
    assert dists.totals[1] == pytest.approx(2 * dists.totals[0], rel=1e-6)
    rows = pq.read_table(out / "dists" / "train.parquet").to_pylist()
    assert rows[0]["layer_mean"] == pytest.approx(2 / 3)
    assert rows[DEAD]["layer_mean"] is None
    with sqlite3.connect(out / "examples.db") as connection:
        query = "SELECT layer, count(*), max(act) FROM examples WHERE latent = 3 GROUP BY layer"
        assert connection.execute(query).fetchall() == [(0, 2, 4.875), (1, 2, 9.75)]
        held = connection.execute("SELECT * FROM examples ORDER BY id").fetchall()
    assert [tuple(row.values()) for row in pq.read_table(out / "examples" / "train.parquet").to_pylist()] == held
    noted = [one for one in read_notes(out).examples() if one.latent == 3]
    assert [one.layer for one in noted] == [0, 0, 1, 1]
    from_rows = read_notes(out / "examples" / "train.parquet").examples()
    assert [one for one in from_rows if one.latent == 3] == noted


def test_a_format_of_one_site_asks_which(layers: Atlas, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"deep@resid_post\.0, deep@resid_post\.1"):
        _export(layers, tmp_path / "out", "tsae", sae="deep")
    assert _export(layers, tmp_path / "out", "circuit_tracer", sae="deep").keys == ("deep@resid_post.0", "deep@resid_post.1")
    assert {one.layer for one in read_notes(tmp_path / "out").examples()} == {0, 1}


def test_saebench_has_the_mean_of_the_scores_it_holds(planted: Atlas, tmp_path: Path) -> None:
    found = _export(planted, tmp_path / "out", "saebench_autointerp", settings={"release": "mine", "score": "auroc"})
    (file,) = found.out.iterdir()
    assert file.name == "mine_topk_eval_results.json"
    result = json.loads(file.read_text())
    scores = [row["score"] for row in result["eval_result_unstructured"].values()]
    told = result["eval_result_metrics"]["autointerp"]
    assert told == pytest.approx({"autointerp_score": np.mean(scores), "autointerp_std_dev": np.std(scores, ddof=1)})
    back = read_notes(found.out)
    assert [score.value for score in back.scores] == scores
    with pytest.raises(ConfigError, match=r'no score "aurok".*auroc'):
        _export(planted, tmp_path / "other", "saebench_autointerp", settings={"score": "aurok"})
