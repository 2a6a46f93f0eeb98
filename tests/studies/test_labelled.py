"""Labelled texts: which are taken, how they are split and pooled; a slow twin for the means."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.models import ModelConfig
from monoseme.pipeline import RunFolder
from monoseme.studies._labelled.bench import LabelledBench
from monoseme.studies._labelled.bundled_sets import Labelled, bundled_set
from monoseme.studies._labelled.config import LabelledConfig
from monoseme.studies._labelled.groups import SAEBENCH_GROUPS
from monoseme.studies._labelled.hub_sets import drawn
from monoseme.text import CorpusConfig


def test_the_eight_groups_of_saebench_have_36_classes() -> None:
    assert [len(group.classes) for group in SAEBENCH_GROUPS.values()] == [5, 5, 5, 5, 2, 5, 4, 5]
    assert list(SAEBENCH_GROUPS["LabHC/bias_in_bios_class_set1"].classes.values())[:2] == ["accountant", "architect"]


def test_at_most_so_many_of_each_class_and_second_label_are_drawn() -> None:
    texts = [Labelled(str(i), "ab"[i % 2], str(i), "xyz"[i % 3]) for i in range(60)]
    found = list(drawn(texts, 9, n_strata=3, seed=0))
    counts = {(a, b): sum((t.label, t.second) == (a, b) for t in found) for a in "ab" for b in "xyz"}
    assert set(counts.values()) == {3}
    assert [int(t.text) for t in found] == sorted(int(t.text) for t in found)


def test_every_text_is_as_likely_to_be_drawn() -> None:
    texts = [Labelled(str(i), "a", str(i)) for i in range(10)]
    taken = [t.text for seed in range(200) for t in drawn(texts, 5, n_strata=1, seed=seed)]
    # 200 draws of 5 of 10: 100 expected of each, spread sqrt(200 * 1/4) = 7; five of these.
    assert all(65 < taken.count(str(i)) < 135 for i in range(10))


def test_a_story_of_a_girl_is_told_without_the_sentence_that_says_so() -> None:
    found = next(bundled_set("bundled:hero"))
    assert found.label == "girl"
    assert not found.text.startswith("Once upon a time")


def test_kinds_of_bundled_text() -> None:
    assert {text.label for text in itertools.islice(bundled_set("bundled:kind"), 400)} == {"story", "library", "reference"}


@pytest.fixture(scope="module")
def labelled(studied_run: RunFolder, corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> LabelledBench:
    file = tmp_path_factory.mktemp("labelled") / "texts.jsonl"
    rows = [json.loads(line) for line in corpus_file.read_text().splitlines()][:70]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
    config = LabelledConfig(
        sae=(str(studied_run.path),),
        model=ModelConfig(model="run"),
        corpus=CorpusConfig(source=str(file), context_len=16),
        label="domain",
        n_train=40,
        n_test=20,
        text_tokens=16,
        least_per_class=5,
    )
    return LabelledBench(config, tmp_path_factory.mktemp("work"))


def test_an_sae_of_several_sites_is_left_out(labelled: LabelledBench) -> None:
    assert list(labelled.left_out) == ["mlsae"]
    assert "mlsae" not in [subject.name for subject in labelled.subjects]


def test_no_more_texts_of_a_class_than_probes_use_and_no_copies(labelled: LabelledBench) -> None:
    texts = labelled.texts(labelled.names[0])
    assert sorted(np.bincount(texts.labels).tolist()) in ([29, 30], [30, 30])  # the copy may have been among the 30 drawn
    assert len({excerpt.ids.tobytes() for excerpt in texts.excerpts}) == len(texts)


def test_no_source_is_on_both_sides(labelled: LabelledBench) -> None:
    texts = labelled.texts(labelled.names[0])
    test = texts.test_side(3)
    assert not set(texts.units[test]) & set(texts.units[~test])
    assert abs(test.mean() - 1 / 3) < 0.1


def test_pooled_is_the_mean_over_the_tokens_that_an_sae_sees(labelled: LabelledBench) -> None:
    pooled = labelled.pooled(labelled.names[0])
    subject = next(s for s in labelled.subjects if s.name == "topk")
    site = subject.placed.inputs[0]
    excerpt = pooled.texts.excerpts[7]
    tokenizer = labelled.workbench.model.tokenizer
    ids = [int(i) for i in excerpt.ids]
    given = torch.tensor([[tokenizer.bos_token_id, *ids] if labelled.frame.bos_id is not None else ids])
    x = labelled.workbench.model.capture(given, [site])[site][0, given.shape[1] - len(ids) :]
    seen = torch.tensor([i not in labelled.frame.hidden_ids for i in ids])
    codes = subject.sae.encode(x[seen]).dense().detach().double().mean(0)
    # Rows of a float32 product depend on the batch's shape.
    assert np.allclose(pooled.activations[site][7], x[seen].double().mean(0).numpy(), atol=1e-4)
    assert np.allclose(pooled.codes["topk"][7].toarray()[0], codes.numpy(), atol=1e-4)


def test_means_are_read_back_as_they_were_written(labelled: LabelledBench) -> None:
    one, again = labelled.pooled(labelled.names[0]), labelled.pooled(labelled.names[0])
    assert (one.codes["tsae"] != again.codes["tsae"]).nnz == 0
    assert set(one.codes) == set(one.written) == {"matryoshka", "tfa", "topk", "tsae"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"dataset": ("ag_news",)}, "fancyzhx/ag_news"),
        ({"label": "domain"}, "--corpus"),
        ({"corpus": CorpusConfig(source="a.csv")}, "--label"),
        ({"corpus": CorpusConfig(source="a.csv"), "label": "x", "dataset": ("bundled:kind",)}, "Give one"),
        ({"n_train": 2}, "at least 4"),
    ],
)
def test_settings_that_name_no_texts_are_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        LabelledConfig(**settings)  # pyright: ignore[reportArgumentType]
