"""Probes find what was planted and not what only goes along with it; nothing of the test side reaches the training side."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from monoseme.cli.main import main
from monoseme.core.errors import ConfigError, CorpusError, ExtraMissingError
from monoseme.evaluation._probes import (
    SCORES,
    class_contrasts,
    fit_probe,
    over_seeds,
    scores,
    split_by_unit,
    telling_features,
)
from monoseme.pipeline import RunFolder
from monoseme.studies._probing.features import Gathered, one_hot, principal_components, random_codes
from monoseme.studies._probing.measure import Prediction, Probed, ProbeSettings, probe, read_probed, write_probed
from monoseme.studies._probing.pooled import means_of_excerpts, with_earlier_tokens
from monoseme.studies._probing.scores import Scored, compared, confusion, score
from monoseme.studies._probing.tasks import NoTask, ProbeTask, context_task, semantics_task, syntax_task
from monoseme.studies._probing.text import Excerpt, ExcerptContexts, Frame, without_copies
from monoseme.studies._probing.texts import label_names
from monoseme.studies.probing import Probing
from monoseme.text import CorpusConfig

SETTINGS = ProbeSettings(seeds=(3, 5), test_fraction=0.25, per_class=(1, 2), inverse_penalty=1.0, keeps_telling=True)


# --- probes --------------------------------------------------------------------------------------------------------------


def test_the_contrast_of_a_class_is_its_mean_minus_that_of_the_rest() -> None:
    x = np.array([[1.0, 0.0, 2.0], [3.0, 0.0, 0.0], [0.0, 5.0, 1.0], [0.0, 1.0, 0.0], [2.0, 0.0, 1.0]], dtype=np.float32)
    labels = np.array([0, 0, 1, 1, 2])
    wanted = [[2 - 2 / 3, -2.0, 1 - 2 / 3], [-2.0, 3.0, 0.5 - 1], [2 - 1, -1.5, 1 - 3 / 4]]
    for given_x in (x, sp.csr_matrix(x)):
        found = class_contrasts(given_x, labels, 4)
        np.testing.assert_allclose(found, [*wanted, [0, 0, 0]], atol=1e-12)  # the class 3 has no example
    assert telling_features(found, 2).tolist()[:2] == [[0, 2], [1, 2]]
    assert telling_features(found, 2, signed=True).tolist()[:2] == [[1, 0], [1, 0]]


def test_a_probe_is_the_logistic_regression_of_standardised_features() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 211)
    x = (rng.normal(size=(211, 7)) * [1, 10, 0.1, 1, 1, 1, 1] + 0.5 * labels[:, None]).astype(np.float32)
    x[:, 6] = 4.0
    test = np.arange(211) % 3 == 0
    train = x[~test].astype(np.float64)
    mean, spread = train.mean(0)[:6], train.std(0)[:6]
    twin = LogisticRegression(tol=1e-8, max_iter=5000).fit((train[:, :6] - mean) / spread, labels[~test])
    wanted = twin.predict((x[test][:, :6].astype(np.float64) - mean) / spread)
    for given_x in (x, sp.csr_matrix(x)):
        found = fit_probe(given_x, labels, test)
        assert (found.n_features, found.converged) == (6, True)
        assert (found.predicted == wanted).mean() > 0.98  # fits stop at different points, all near the optimum


def test_a_probe_without_features_says_the_most_frequent_class_of_its_training_side() -> None:
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    found = fit_probe(np.zeros((8, 0), dtype=np.float32), labels, np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype=bool))
    assert found.predicted.tolist() == [1, 1, 1, 1]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=2, max_size=200),
    st.floats(0.05, 0.95),
    st.integers(0, 9),
)
def test_no_unit_is_on_both_sides_and_a_class_of_two_units_is_on_both(
    rows: list[tuple[int, int]], fraction: float, seed: int
) -> None:
    units = np.array([unit for unit, _ in rows])
    labels = units % 4  # a source has one class
    test = split_by_unit(labels, units, test_fraction=fraction, seed=seed)
    assert not set(units[test]) & set(units[~test])
    for label in set(labels.tolist()):
        sides = {bool(side) for side in test[labels == label]}
        assert sides == ({True, False} if len(set(units[labels == label].tolist())) > 1 else {False})


def test_scores_under_weights_are_those_of_repeated_examples() -> None:
    rng = np.random.default_rng(1)
    truth, said = rng.integers(0, 4, 53), rng.integers(0, 4, 53)
    weights = np.stack([np.ones(53), rng.poisson(1.0, 53)], axis=1)
    found = scores(truth, said, weights, 5)
    for w in range(2):
        again = np.repeat(np.arange(53), weights[:, w].astype(int))
        recalls = [np.mean(said[again][truth[again] == c] == c) for c in range(4)]
        f1 = [
            2 * np.sum((truth[again] == c) & (said[again] == c)) / (np.sum(truth[again] == c) + np.sum(said[again] == c))
            for c in range(4)
        ]
        wanted = (np.mean(truth[again] == said[again]), np.mean(recalls), np.mean(f1))
        np.testing.assert_allclose([found[name][w] for name in SCORES], wanted, atol=1e-12)


def test_the_estimate_is_the_mean_of_the_seeds_and_replicates_draw_them() -> None:
    found = over_seeds([np.array([1.0] * 500), np.array([3.0] * 500)], seed=0)
    assert found[0] == 2.0
    assert set(found[1:]) == {1.0, 2.0, 3.0}
    assert over_seeds([np.array([1.0, np.nan]), np.array([3.0, np.nan])], seed=0)[0] == 2.0


# --- planted -------------------------------------------------------------------------------------------------------------

N_SOURCES, PER_SOURCE = 60, 4
CLASS_LATENT, TAG_LATENT, LENGTH_LATENT, N_LATENTS = 3, 11, 17, 23


def planted_excerpts(*, long_class: bool) -> list[Excerpt]:
    """Documents of two classes; with `long_class` those of class b are mostly longer. Tags go with odd and even positions."""
    rng = np.random.default_rng(7)
    made: list[Excerpt] = []
    for i in range(N_SOURCES * PER_SOURCE):
        label = "ab"[i // PER_SOURCE % 2]
        long = rng.random() < (0.9 if label == "b" else 0.1) if long_class else rng.random() < 0.5
        n = int(rng.integers(30, 40)) if long else int(rng.integers(10, 20))
        tags = tuple(("NOUN", "VERB")[int(t)] for t in rng.integers(0, 2, n))
        made.append(Excerpt(np.arange(n, dtype=np.uint32), i // PER_SOURCE, label, tags))
    return made


def planted(task: ProbeTask | NoTask) -> Gathered:
    """Three SAEs of one telling latent each, among latents of noise."""
    assert isinstance(task, ProbeTask), task
    rng = np.random.default_rng(11)
    n = len(task.labels)
    excerpts = [task.excerpts[i] for i in task.excerpt]
    is_b = np.array([e.label == "b" for e in excerpts])
    is_verb = np.array([e.tags[t] == "VERB" for e, t in zip(excerpts, task.token, strict=True)])
    causes = {CLASS_LATENT: is_b, TAG_LATENT: is_verb, LENGTH_LATENT: np.array([len(e.ids) > 25 for e in excerpts])}
    codes = {}
    for name, latent in {"class": CLASS_LATENT, "tag": TAG_LATENT, "length": LENGTH_LATENT}.items():
        x = (rng.random((n, N_LATENTS)) < 0.1) * rng.random((n, N_LATENTS))
        x[:, latent] = causes[latent] * (1 + rng.random(n))
        codes[name] = sp.csr_matrix(x.astype(np.float32))
    x = rng.normal(size=(n, 5)).astype(np.float32)
    return Gathered(task, codes, {(): x}, dict.fromkeys(codes, ()), one_hot(task.token % 7), n_hidden=0)


def accuracies(gathered: Gathered, per_class: int = 1) -> dict[str, Scored]:
    scored = score(probe(gathered, SETTINGS), n_replicates=100, seed=0)
    return {each.rival: each for each in scored if each.per_class in (per_class, None)}


def about_chance(scored: Scored, chance: float = 0.5) -> bool:
    row = scored.row
    return row["accuracy_low"] - 0.03 <= chance <= row["accuracy_high"] + 0.03 and abs(row["accuracy"] - chance) < 0.15


def test_the_latent_that_follows_the_class_is_found_and_no_other() -> None:
    found = accuracies(
        planted(semantics_task(planted_excerpts(long_class=False), n_documents=500, least=5, balance="lengths", seed=0))
    )
    assert found["class"].row["accuracy"] == 1.0
    assert found["class"].n_features == 2  # the telling one, and for class a the best of the noise
    for name in ("tag", "length", "position alone", "most frequent class", "random SAE"):
        assert about_chance(found[name]), (name, found[name].row)
    difference = compared(found["class"], found["tag"])
    assert difference["excludes_zero"]
    assert difference["low"] > 0.2


def test_length_is_a_confound_that_balancing_takes_away() -> None:
    excerpts = planted_excerpts(long_class=True)
    found = {
        balance: accuracies(planted(semantics_task(excerpts, n_documents=500, least=5, balance=balance, seed=0)))
        for balance in ("classes", "lengths")
    }
    assert found["classes"]["length"].row["accuracy"] > 0.8
    assert found["classes"]["position alone"].row["accuracy"] > 0.8
    assert about_chance(found["lengths"]["length"])
    assert about_chance(found["lengths"]["position alone"])
    assert found["lengths"]["class"].row["accuracy"] == 1.0


def test_the_latent_that_follows_the_tag_is_found_and_no_other() -> None:
    found = accuracies(planted(syntax_task(planted_excerpts(long_class=False), n_tokens=700, least=5, seed=0)))
    assert found["tag"].row["accuracy"] == 1.0
    assert about_chance(found["class"])
    assert about_chance(found["length"])


def test_the_telling_latents_are_told_with_their_classes() -> None:
    made = probe(
        planted(semantics_task(planted_excerpts(long_class=False), n_documents=500, least=5, balance="lengths", seed=0)), SETTINGS
    )
    best = [row for row in made.telling if (row["subject"], row["class"], row["rank"]) == ("class", "b", 1)]
    assert [row["latent"] for row in best] == [CLASS_LATENT]
    assert {row["subject"] for row in made.telling} == {"class", "tag", "length"}


def test_with_shuffled_labels_every_probe_is_at_chance() -> None:
    task = semantics_task(planted_excerpts(long_class=False), n_documents=500, least=5, balance="lengths", seed=0)
    gathered = planted(task)
    # Whole sources change class, as a leak over sources would show too.
    mixed = np.random.default_rng(5).permutation(N_SOURCES)[gathered.task.units] % 2
    shuffled = replace(gathered, task=replace(gathered.task, labels=mixed))
    for name, found in accuracies(shuffled, per_class=2).items():
        assert about_chance(found), (name, found.row)


def test_what_is_fitted_sees_the_training_side_only() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(41, 5)).astype(np.float32)
    test = np.arange(41) >= 31
    other = x.copy()
    other[test] *= 100
    assert np.array_equal(principal_components(x, test)[~test], principal_components(other, test)[~test])
    a, b = (random_codes(each, test, n_latents=13, k=3, seed=1)[:31] for each in (x, other))
    assert abs(a - b).max() == 0
    labels = rng.integers(0, 2, 41)
    turned = np.where(test, 1 - labels, labels)
    assert fit_probe(x, labels, test).predicted.tolist() == fit_probe(x, turned, test).predicted.tolist()


def test_pooled_examples_are_means_over_the_last_tokens_that_are_seen() -> None:
    excerpts = [Excerpt(np.arange(n, dtype=np.uint32), n) for n in (5, 2, 3)]
    last, labels = np.array([1, 4, 2]), np.array([0, 1, 0])
    task = ProbeTask("semantics", excerpts, np.array([1, 0, 2]), last, labels, ("a", "b"), np.array([2, 5, 3]))
    spread = with_earlier_tokens(task, 3)
    assert sorted(zip(spread.excerpt.tolist(), spread.token.tolist(), strict=True)) == [
        (0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)
    ]  # fmt: skip
    seen = spread.kept((spread.excerpt != 2) & (spread.token != 3))  # one token of the first is hidden, and all of the third
    x = np.stack([seen.token, seen.excerpt], axis=1).astype(np.float32)
    found = means_of_excerpts(Gathered(seen, {"sae": sp.csr_matrix(x)}, {(): x}, {"sae": ()}, one_hot(seen.token), 0), task)
    assert found.task.excerpt.tolist() == [1, 0]
    assert found.task.labels.tolist() == [0, 1]
    assert found.activations[()].tolist() == found.codes["sae"].toarray().tolist() == [[0.5, 1.0], [3.0, 0.0]]
    assert found.words.toarray().tolist() == [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    assert found.n_hidden == 1


def test_of_copies_of_a_text_only_the_first_is_probed() -> None:
    texts = [([1, 2], 7, "a"), ([3, 4], 7, "a"), ([1, 2], 9, "b"), ([1, 2, 3], 9, "b"), ([3, 4], 7, "a")]
    made = without_copies(Excerpt(np.array(ids, dtype=np.uint32), source, label) for ids, source, label in texts)
    assert [(e.ids.tolist(), e.source, e.label) for e in made] == [([1, 2], 7, "a"), ([3, 4], 7, "a"), ([1, 2, 3], 9, "b")]


def test_the_interval_of_macro_f1_is_about_it_where_each_class_is_one_unit() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(60), 8)
    said = np.where(rng.random(len(labels)) < 0.2, labels, rng.integers(0, 60, len(labels)))
    one = Prediction("sae", True, None, 0, 5, True, said.tolist())
    found = Probed("context", [str(i) for i in range(60)], labels.tolist(), labels.tolist(), 0,
                   {"0": list(range(len(labels)))}, [one], [])  # fmt: skip
    row = score(found, n_replicates=200, seed=0)[0].row
    middle = (row["macro_f1_low"] + row["macro_f1_high"]) / 2
    assert abs(middle - row["macro_f1"]) < 1e-9
    assert np.mean(score(found, n_replicates=200, seed=0)[0].replicates["macro_f1"][1:]) > 1.05 * row["macro_f1"]


# --- tasks ---------------------------------------------------------------------------------------------------------------


def test_context_holds_stretches_back_and_gives_no_position_away() -> None:
    excerpts = [Excerpt(np.arange(n, dtype=np.uint32), n) for n in (7, 20, 21, 22, 23, 24, 25, 40)]
    task = context_task(excerpts, n_documents=6, n_tokens=11, seed=0)
    assert isinstance(task, ProbeTask)
    assert {len(excerpt.ids) for excerpt in task.excerpts} == {21}  # the longest length that six documents have
    assert sorted(set(task.token.tolist())) == list(range(10, 21))
    test = task.test_side(test_fraction=0.25, seed=4)
    for document in range(6):
        held = task.token[test & (task.labels == document)]
        assert held.tolist() == list(range(held[0], held[0] + 3))
    assert context_task(excerpts[:3], n_documents=6, n_tokens=11, seed=0) == NoTask("2 documents have 11 tokens; 5 are needed")


def test_classes_are_balanced_each_source_first_once() -> None:
    excerpts = [Excerpt(np.zeros(9, dtype=np.uint32), i % 10, "a") for i in range(90)]
    excerpts += [Excerpt(np.zeros(9, dtype=np.uint32), 10 + i, "b") for i in range(10)]
    excerpts += [Excerpt(np.zeros(9, dtype=np.uint32), 99, "one source") for _ in range(50)]
    task = semantics_task(excerpts, n_documents=1000, least=5, balance="lengths", seed=0)
    assert isinstance(task, ProbeTask)
    assert np.bincount(task.labels).tolist() == [10, 10]
    assert task.classes == ("a", "b")
    assert len(set(task.units.tolist())) == 20
    small = semantics_task(excerpts, n_documents=8, least=5, balance="classes", seed=0)
    assert isinstance(small, ProbeTask)
    assert np.bincount(small.labels).tolist() == [4, 4]
    assert isinstance(semantics_task(excerpts, n_documents=8, least=20, balance="none", seed=0), NoTask)


def test_excerpts_stand_alone_in_contexts_and_keep_their_numbers() -> None:
    excerpts = [Excerpt(np.array([5, 6, 9], dtype=np.uint32), 4), Excerpt(np.array([7], dtype=np.uint32), 2)]
    frame = Frame(context_len=5, bos_id=1, pad_id=0, hidden_ids=frozenset({1, 9}))
    block = ExcerptContexts(excerpts, frame).block(0, 2)
    assert block.tokens.tolist() == [[1, 7, 0, 0, 0], [1, 5, 6, 9, 0]]
    assert block.documents.tolist() == [[1, 1, -1, -1, -1], [0, 0, 0, 0, -1]]
    assert block.mask.tolist() == [[False, True, False, False, False], [False, True, True, False, False]]
    bare = ExcerptContexts(excerpts, frame._replace(bos_id=None)).block(1, 1)
    assert bare.tokens.tolist() == [[5, 6, 9, 0, 0]]


def test_names_of_classes_come_from_csv_and_txt(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("class,name\n1,neoplasms\n2,heart\n")
    (tmp_path / "a.txt").write_text("World\nSports\n")
    (tmp_path / "bad.csv").write_text("class,name\n1\n")
    assert label_names(tmp_path / "a.csv") == {"1": "neoplasms", "2": "heart"}
    assert label_names(tmp_path / "a.txt") == {"1": "World", "2": "Sports"}
    with pytest.raises(ConfigError, match="line 2: a class without a name"):
        label_names(tmp_path / "bad.csv")
    with pytest.raises(ConfigError, match="no known ending"):
        label_names(Path(__file__))
    with pytest.raises(CorpusError, match="cannot be read"):
        label_names(tmp_path / "none.csv")


def test_what_was_probed_comes_back_from_its_file(tmp_path: Path) -> None:
    made = probe(planted(syntax_task(planted_excerpts(long_class=False), n_tokens=90, least=5, seed=0)), SETTINGS)
    write_probed(tmp_path / "syntax.json", made)
    back = read_probed(tmp_path / "syntax.json")
    assert isinstance(back, Probed)
    assert back == made
    shares = confusion(back, "tag", 1)
    assert sum(row["n"] for row in shares) == sum(len(test) for test in back.tests.values())


# --- the whole study -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tagged_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of the tiny corpus as CoNLL-U, nine to a document."""
    file = tmp_path_factory.mktemp("tags") / "tiny.conllu"
    words = [("The", "DET"), ("{a}", "NOUN"), ("saw", "VERB"), ("the", "DET"), ("{b}", "NOUN")]
    lines: list[str] = []
    nouns = ("cat", "dog", "sun", "tree", "house", "river")
    for i, (a, b) in enumerate((a, b) for a in nouns for b in nouns):
        lines += [f"# newdoc id = d{i // 3}"] if i % 3 == 0 else []
        for number, (form, tag) in enumerate(words, start=1):
            lines.append(f"{number}\t{form.format(a=a, b=b)}\t_\t{tag}\t_\t_\t_\t_\t_\t_")
        lines.append("")
    file.write_text("\n".join(lines))
    return file


_SMALL = ["--n_documents", "60", "--n_context_documents", "5", "--tokens_per_document", "8", "--n_seeds", "2", "--sparse", "1"]
_SMALL += ["--n_replicates", "40", "--least_per_class", "8", "--quiet"]


def table(out: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "report" / "tables" / f"{name}.csv").read_text().splitlines()))


def test_the_study_answers_with_all_three_tasks_and_a_resume_probes_nothing_anew(
    studied_run: RunFolder, tagged_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s"
    flags = ["--sae", str(studied_run.path), "--part", "all,high,low", "--tags", str(tagged_file), *_SMALL]
    assert main(["study", "probing", "--out", str(out), *flags]) == 0
    content = json.loads((out / "report" / "report.json").read_text())
    rows = table(out, "accuracy")
    assert {row["task"] for row in rows} == {"semantics", "context", "syntax"}
    subjects = {row["subject"] for row in rows}
    assert subjects >= {"tsae (high)", "matryoshka (low)", "mlsae", "topk", "token alone"}
    assert sum(name.startswith("random SAE (") for name in subjects) == 2  # of one site, and of all that mlsae reads
    assert all(0.0 <= float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"]) <= 1.0 for row in rows)
    verdicts = [finding["verdict"] for finding in content["findings"]]
    assert len(verdicts) == 6
    assert "not measured" not in verdicts
    differences = table(out, "differences")
    assert {(row["subject"], row["against"]) for row in differences if row["task"] == "syntax"} == {
        ("tsae (low)", "tsae (high)"),
        ("matryoshka (high)", "tsae (high)"),
        ("topk", "tsae (high)"),
    }
    made = (out / "work" / "syntax.json").stat().st_mtime_ns
    assert main(["study", "probing", "--out", str(out), "--resume", "--quiet"]) == 0
    assert (out / "work" / "syntax.json").stat().st_mtime_ns == made
    assert json.loads((out / "report" / "report.json").read_text()) == content


def study(run: RunFolder, **settings: Any) -> Probing:
    small: dict[str, Any] = {"n_documents": 30, "least_per_class": 4, "n_seeds": 1, "n_replicates": 2}
    return Probing(Probing.Config(sae=(str(run.sae("topk")),), **(small | settings)))


def test_labels_and_tags_that_make_no_task_are_refused(studied_run: RunFolder, corpus_file: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.jsonl"
    one.write_text("".join(json.dumps({"text": f"The cat saw the dog {i}.", "kind": "x"}) + "\n" for i in range(9)))
    tagged = tmp_path / "one.conllu"
    tagged.write_text("1\tcat\t_\tNOUN\t_\t_\t_\t_\t_\t_\n\n" * 9)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"label": "domane"}, r'(?s)has the label "domane".*Did you mean "domain"'),
        ({"corpus": CorpusConfig(source=str(one), context_len=16), "label": "kind"}, 'label "kind" makes no task: 1 classes'),
        ({"corpus": CorpusConfig(source=str(one), context_len=16), "label": "colour"}, "They have none"),
        ({"tags": str(tagged)}, "the tags make no task: 1 tags"),
    ]
    for settings, words in cases:
        with pytest.raises(ConfigError, match=words):
            study(studied_run, **settings).investigate(tmp_path / "work")


def test_spacy_that_is_not_there_is_named_with_what_to_install(studied_run: RunFolder, tmp_path: Path) -> None:
    try:
        import spacy  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(ExtraMissingError, match=r"monoseme\[tags\]"):
            study(studied_run, tagger="spacy", n_context_documents=1, tokens_per_document=200).investigate(tmp_path / "work")
    else:
        pytest.skip("spaCy is installed here")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"test_fraction": 1.0}, "between 0 and 1"),
        ({"tags": "a.conllu", "tagger": "spacy"}, "reads no such file"),
        ({"n_seeds": 0}, "n_seeds is 0"),
        ({"sparse": (0,)}, "at least 1"),
        ({"tokens_per_document": 1}, "at least 2"),
        ({"corpus": CorpusConfig(source="x", chat="messages", only_roles=("user",))}, "only_roles has no effect"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Probing.Config(sae=("x",), **settings)
