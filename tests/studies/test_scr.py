"""The study of spurious correlation removal on the tiny model, and its pairs of attributes."""

import json
from pathlib import Path

import numpy as np
import pytest

from monoseme.core.errors import ConfigError
from monoseme.evaluation._latent_effects_probes import ProbeSchedule
from monoseme.pipeline import RunFolder
from monoseme.studies import STUDIES
from monoseme.studies._labelled.texts import LabelledTexts
from monoseme.studies._probing.text import Excerpt
from monoseme.studies._scr.pairs import pairs_of
from monoseme.studies.scr import SCR
from monoseme.text import CorpusConfig

N = 96


def _texts(second: np.ndarray | None = None) -> LabelledTexts:
    labels = np.arange(N) % 3
    given = (np.arange(N) // 3) % 2 if second is None else second
    excerpts = [Excerpt(np.arange(4, dtype=np.uint32), i) for i in range(N)]
    return LabelledTexts(
        "texts", excerpts, ("a", "b", "c"), labels, np.arange(N), ("x", "y"), given, np.arange(N) // 6 % 4 == 3, 0.25
    )


def test_a_pair_holds_the_texts_of_both_classes_that_have_the_second_label():
    second = (np.arange(N) // 3) % 2
    second[:6] = -1
    (pair,) = pairs_of(_texts(second), ("c/a",), seed=0)
    assert pair.name == "c/a with x/y"
    assert set(pair.rows) == {i for i in range(6, N) if i % 3 in (0, 2)}
    assert pair.is_first.tolist() == [i % 3 == 2 for i in pair.rows]
    assert pair.is_second.tolist() == [second[i] == 0 for i in pair.rows]
    assert pair.contrasts(np.arange(8)).names == ("c/a", "x/y", "c & x / a & y")


def test_without_a_name_the_two_commonest_classes_are_paired():
    second = (np.arange(N) // 3) % 2
    second[1::3][:9] = -1  # b is the rarest with a second label
    assert [pair.first for pair in pairs_of(_texts(second), (), seed=0)] == [("a", "c")]


def test_pairs_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="names no pair"):
        pairs_of(_texts(), ("a/q",), seed=0)
    with pytest.raises(ConfigError, match="no second label"):
        pairs_of(_without_second(), (), seed=0)
    with pytest.raises(ConfigError, match="one combination has 0 texts"):
        pairs_of(_texts(np.where(np.arange(N) % 3 == 0, 0, 1)), ("a/b",), seed=0)


def _without_second() -> LabelledTexts:
    found = _texts()
    return LabelledTexts(
        found.name, found.excerpts, found.classes, found.labels, found.units, (), np.full(N, -1), found.own_test, 0.25
    )


def test_the_report_has_both_directions_and_both_definitions(studied_run: RunFolder, tmp_path: Path):
    rows = [
        {"text": f" {a} {i} saw the {b} on the {b}", "who": a, "where": b}
        for i in range(24)
        for a in ("cat", "mat")
        for b in ("hills", "red")
    ]
    corpus = tmp_path / "texts.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    STUDIES.get("scr")  # gives it its name
    study = SCR(
        SCR.Config(
            sae=(f"{studied_run.path}/saes/topk",),
            corpus=CorpusConfig(source=str(corpus), context_len=16),
            label="who",
            second_label="where",
            n_train=64,
            n_test=64,
            text_tokens=14,
            least_per_class=8,
            n_latents=(1, 4),
            probe=ProbeSchedule(epochs=3),
            n_draws=2,
            n_replicates=20,
        )
    )
    tables = study.investigate(tmp_path / "work").tables
    assert [(row["subject"], row["n_latents"]) for row in tables["scr"]] == [
        (name, n) for name in ("topk", "random dictionary", "random latents of the SAEs") for n in (1, 4)
    ]
    for row in tables["scr"]:
        assert (row["scr"] is None) == (row["why_missing"] is not None)
    assert [row["probe"] for row in tables["probes"]] == ["cat/mat", "hills/red"]
    for row in tables["pairs"]:
        expected = {"cat/mat": row["scr_first"], "hills/red": row["scr_second"]}
        if row["asked"] in expected:
            assert row["scr"] == expected[row["asked"]]
        for label in ("first", "second"):
            assert row[f"scr_{label}_as_saebench"] is not None
