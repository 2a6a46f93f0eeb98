"""The alignment study finds what was planted between groups and not what only follows length; its reports are safe to open."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from monoseme.core.errors import ConfigError
from monoseme.pipeline import RunFolder
from monoseme.studies import STUDIES
from monoseme.studies._alignment.compare import Compared, compare, design_of, metrics_of, strongest
from monoseme.studies._alignment.figures import Box, place_labels
from monoseme.studies._alignment.groups import group_names
from monoseme.studies._alignment.sums import Sums, sums_of
from monoseme.studies._alignment.texts import Collected, Text, collect
from monoseme.studies._alignment.words import explanations_in
from monoseme.studies._run import run_study
from monoseme.studies._texts import TextContexts
from monoseme.studies._workbench import Workbench
from monoseme.studies.alignment import Alignment
from monoseme.text import CorpusConfig

RNG = np.random.default_rng
N_SIGNAL, N_LENGTH, N_NULL = 11, 53, 397


def texts(group: np.ndarray, unit: np.ndarray) -> list[Text]:
    one = np.zeros(1, dtype=np.int64)
    return [Text(one, one == 0, int(g), int(u), i, ()) for i, (g, u) in enumerate(zip(group, unit, strict=True))]


def study(
    values: np.ndarray, group: np.ndarray, unit: np.ndarray, *, length: np.ndarray, paired: bool, **config: Any
) -> Compared:
    """The comparison of values [n, F] of texts whose mean position is half of their length."""
    named = Collected(tuple("abc"[: group.max() + 1]), texts(group, unit), paired, CorpusConfig(), {})
    sums = Sums({"sae": sparse.csr_array(values)}, length, length / 2)
    fields = {"fields": ("a", "b"), "corpus": CorpusConfig(source="x.jsonl")} if paired else {}
    usable = design_of(Alignment.Config(**fields, **config), named, sums, "mean")
    return compare("sae", usable.design, sparse.csr_array(values)[usable.kept], min_units=20, n_tokens=7)


def planted(*, paired: bool, seed: int = 0, n: int = 300) -> tuple[np.ndarray, ...]:
    """Group 0 is longer by a half. Latents 0.. differ, the next follow length only, the others neither; most values are 0."""
    rng = RNG(seed)
    group = np.repeat([0, 1], n)
    length = np.round(np.exp(rng.normal(3.5, 0.5, 2 * n) + 0.4 * (group == 0))).clip(3)
    shown = rng.random((2 * n, N_SIGNAL + N_LENGTH + N_NULL)) < rng.uniform(0.1, 0.9, N_SIGNAL + N_LENGTH + N_NULL)
    values = shown * rng.exponential(size=shown.shape)
    values[:, :N_SIGNAL] += 0.6 * (group == 0)[:, None] * rng.exponential(size=(2 * n, N_SIGNAL))
    values[:, N_SIGNAL : N_SIGNAL + N_LENGTH] = np.log(length)[:, None] * rng.uniform(0.7, 1.3, (2 * n, N_LENGTH))
    unit = np.tile(np.arange(n), 2) if paired else np.arange(2 * n)
    return values, group, unit, length


def kinds(rows: list[dict[str, Any]]) -> list[int]:
    """How many latents of each kind are among the rows: those that differ, those that follow length, the others."""
    found = np.array(sorted({row["latent"] for row in rows}), dtype=int)
    return np.bincount(np.digitize(found, [N_SIGNAL, N_SIGNAL + N_LENGTH]), minlength=3).tolist()


@pytest.mark.parametrize("paired", [True, False])
def test_what_was_planted_is_found_and_what_follows_length_is_not(paired: bool) -> None:
    values, group, unit, length = planted(paired=paired)
    found = study(values, group, unit, length=length, paired=paired)
    signal, follows, null = kinds(found.different(0.05))
    assert signal == N_SIGNAL
    assert follows + null <= 3  # a rate of 0.05 over some 12 discoveries allows for one; chance for two more
    bare = study(values, group, unit, length=length, paired=paired, confounds=("none",))
    assert kinds(bare.different(0.05))[:2] == [N_SIGNAL, N_LENGTH]
    assert all(row["p"] == row["p_before"] for row in bare.rows if row["tested"])
    numbers = {metric.name: metric.value for metric in metrics_of(found, level=0.05)}
    assert numbers["n_different"] == signal + follows + null
    assert numbers["n_explained_away"] >= N_LENGTH - 3
    assert {row["more_in"] for row in strongest(found, level=0.05, n=N_SIGNAL) if row["latent"] < N_SIGNAL} == {"a"}


@pytest.mark.parametrize("paired", [True, False])
def test_under_the_null_false_discoveries_stay_below_the_level(paired: bool) -> None:
    """12 worlds in which nothing differs but lengths: any discovery is false, and at most 1 world in 20 should have one."""
    n_false = 0
    for seed in range(12):
        values, group, unit, length = planted(paired=paired, seed=seed, n=120)
        values = values[:, N_SIGNAL + N_LENGTH :][:, :200]
        n_false += bool(study(values, group, unit, length=length, paired=paired).different(0.05))
    assert n_false <= 3  # P(more than 3 of 12 at 0.05) is 0.002


def test_pairs_find_what_is_hidden_by_what_they_share() -> None:
    rng = RNG(1)
    n, j = 200, 29
    shared = 5 * rng.exponential(size=(n, j))
    values = np.concatenate([shared + 0.3 + rng.normal(size=(n, j)), shared + rng.normal(size=(n, j))])
    group, pair = np.repeat([0, 1], n), np.tile(np.arange(n), 2)
    length = np.exp(rng.normal(4, 0.3, 2 * n))
    paired = study(values, group, pair, length=length, paired=True).different(0.05)
    unpaired = study(values, group, np.arange(2 * n), length=length, paired=False).different(0.05)
    assert len(paired) > 20 > 5 > len(unpaired)


def test_texts_of_one_source_are_one_observation() -> None:
    """Thirty copies of ten sources a group are no more evidence than ten."""
    rng = RNG(2)
    once = rng.exponential(size=(20, 13))
    group, unit, length = np.repeat([0, 1], 10), np.arange(20), np.full(20, 31.0)
    few = study(once, group, unit, length=length, paired=False, confounds=("none",))
    again = [np.repeat(x, 30, axis=0) for x in (once, group, unit, length)]
    many = study(again[0], again[1], again[2], length=again[3], paired=False, confounds=("none",))
    assert many.n_units == few.n_units == 20
    np.testing.assert_allclose([row["p"] for row in many.rows], [row["p"] for row in few.rows])


def test_of_three_groups_each_is_compared_with_the_others() -> None:
    rng = RNG(3)
    group = np.repeat([0, 1, 2], 60)
    values = rng.exponential(size=(180, 7))
    values[group == 2, 4] += 1.5
    found = study(values, group, np.arange(180), length=np.exp(rng.normal(4, 0.3, 180)), paired=False)
    strong = strongest(found, level=0.05, n=3)
    assert [(row["latent"], row["more_in"]) for row in strong] == [(4, "c")]
    assert {row["latent"] for row in found.rows if row["q_any"] < 0.05} == {4}


def test_rare_latents_are_counted_and_not_tested() -> None:
    values, group, unit, length = planted(paired=True, n=100)
    values[:, -3:] = 0
    values[:19, -1] = 1.0
    found = study(values, group, unit, length=length, paired=True)
    rare = [row for row in found.rows if not row["tested"]]
    assert values.shape[1] - 1 in {row["latent"] for row in rare}
    assert all(row["n_active"] < 20 and row["p"] is None and row["q"] is None for row in rare)
    assert found.n_silent == 2
    assert found.n_rare + found.n_silent + found.n_tested == values.shape[1]


def test_labels_neither_overlap_nor_leave_the_panel() -> None:
    rng = RNG(4)
    points = [(float(x), float(y)) for x, y in rng.uniform(0, 200, (40, 2))]
    placed = place_labels(points, ["a label"] * 40, size=(200, 200))
    boxes = [label.box for label in placed]
    assert 5 < len(placed) < 40
    assert not any(a.meets(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(box.left >= 0 and box.right <= 200 for box in boxes)
    assert not Box(0, 0, 1, 1).meets(Box(1, 0, 2, 1))


def test_groups_are_named_by_their_files() -> None:
    assert group_names(["a/x.jsonl.gz", "b/y.csv", "bundled:stories"]) == ["x", "y", "stories"]
    assert group_names(["a/x.jsonl", "b/x.jsonl"]) == ["a/x.jsonl", "b/x.jsonl"]


EVIL = "<img src=x onerror=alert(1)> [l](javascript:alert(2)) **b**"


@pytest.fixture(scope="module")
def preferences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs with a shared question; chosen answers are about cats, rejected ones about dogs; scores and a topic beside."""
    file = tmp_path_factory.mktemp("preferences") / "pairs.jsonl"
    rng = RNG(5)
    rows = []
    for i in range(40):
        question = f"\n\nHuman: the {'tree' if i % 2 else 'sun'} {EVIL}?\n\nAssistant:"
        words = ["saw the house", "found a river"][i % 2]
        row = {"chosen": f"{question} The cat {words}" + " cat" * int(rng.integers(1, 4))}
        row |= {
            "rejected": f"{question} The dog {words}" + " dog" * int(rng.integers(1, 4)),
            "score_chosen": i,
            "score_rejected": -i,
        }
        rows.append(row | {"topic": ["x", "y", "z"][i % 3]})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def config(run: RunFolder, **settings: Any) -> Alignment.Config:
    given = {"sae": (str(run.sae("topk")),), "text_tokens": 60, "min_units": 5} | settings
    return Alignment.Config(**given)


def test_pairs_are_compared_where_they_differ_and_reported_safely(
    studied_run: RunFolder, preferences: Path, tmp_path: Path
) -> None:
    settings = config(
        studied_run, corpus=CorpusConfig(source=str(preferences), context_len=32), fields=("chosen", "rejected"), n_examples=1
    )
    made = STUDIES.get("alignment")
    report = run_study(made(settings), tmp_path / "out", command="c")
    told = json.loads((report / "report.json").read_text())
    assert set(told["metrics"]) == {"topk"}
    page = (report / "index.md").read_text()
    assert "40 pairs of chosen and rejected" in page
    assert "<img" not in page
    assert "[l](" not in page.replace("\\[l](", "")
    assert "<img src=x" not in (report / "index.html").read_text()
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "out" / "work").rglob("*.npz"))
    run_study(made(settings), tmp_path / "out", command="c", resume=True)
    assert before == sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "out" / "work").rglob("*.npz"))


def test_what_is_cut_from_a_long_pair_is_its_common_beginning(studied_run: RunFolder, preferences: Path) -> None:
    settings = config(
        studied_run, corpus=CorpusConfig(source=str(preferences), context_len=32), fields=("chosen", "rejected"), text_tokens=24
    )
    found = collect(settings, Workbench(settings.of_bench()))
    for a, b in zip(found.texts[::2], found.texts[1::2], strict=True):
        shared = int(a.counts.argmax())
        assert (a.unit, a.row, a.group, b.group) == (b.unit, b.row, 0, 1)
        assert a.ids[:shared].tolist() == b.ids[:shared].tolist()
        assert a.ids[shared] != b.ids[shared]
        assert not b.counts[:shared].any()
        assert b.counts[shared:].all()
        assert shared >= 12
        assert max(len(a.ids), len(b.ids)) <= 24


def test_the_last_turn_and_numbers_of_columns_can_be_taken(studied_run: RunFolder, preferences: Path) -> None:
    corpus = CorpusConfig(source=str(preferences), context_len=32, chat="human_assistant")
    settings = config(
        studied_run,
        corpus=corpus,
        fields=("chosen", "rejected"),
        tokens="last_turn",
        confounds=("length", "score_{field}"),
    )
    bench = Workbench(settings.of_bench())
    found = collect(settings, bench)
    said = bench.model.token_text(found.texts[1].ids[found.texts[1].counts].tolist())
    assert said.strip().startswith("The dog saw the house dog")
    assert [text.numbers for text in found.texts[:4]] == [(0.0,), (0.0,), (1.0,), (-1.0,)]


def test_labels_and_files_name_groups(studied_run: RunFolder, preferences: Path, tmp_path: Path) -> None:
    labelled = config(
        studied_run, corpus=CorpusConfig(source=str(preferences), context_len=32, field="chosen"), label="topic", only=("z", "x")
    )
    found = collect(labelled, Workbench(labelled.of_bench()))
    assert found.names == ("z", "x")
    assert found.n_units == [13, 14]
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("".join(f'{{"text": "{name} cat saw {i}"}}\n' for i in range(9)))
    files = config(studied_run, groups=tuple(str(tmp_path / f"{name}.jsonl") for name in "ab"), max_texts=8)
    found = collect(files, Workbench(files.of_bench()))
    assert (found.names, found.n_units) == (("a", "b"), [8, 8])
    assert all(text.counts.all() for text in found.texts)


def test_without_more_the_domains_that_the_run_held_out_are_compared(studied_run: RunFolder) -> None:
    found = collect(plain := config(studied_run), (bench := Workbench(plain.of_bench())))
    assert set(found.names) == {"cat", "dog"}
    held = {
        bench.materials.text.document_row(i)
        for i in range(bench.materials.text.n_documents)
        if bench.materials.text.is_heldout(i)
    }
    assert {text.row for text in found.texts} == held


@pytest.mark.parametrize("value", ["mean", "share", "max"])
def test_sums_equal_those_of_dense_codes(studied_run: RunFolder, preferences: Path, tmp_path: Path, value: Any) -> None:
    """Of an SAE with codes at each site too, against plain loops over dense codes."""
    saes = tuple(str(studied_run.sae(name)) for name in ("tfa", "mlsae"))
    settings = config(
        studied_run,
        sae=saes,
        corpus=CorpusConfig(source=str(preferences), context_len=32),
        fields=("chosen", "rejected"),
        max_texts=9,
    )
    bench = Workbench(settings.of_bench())
    found = collect(settings, bench)
    sums = sums_of(bench, found, value, tmp_path)
    text = found.texts[3]
    contexts = TextContexts([text.ids], found.corpus, bench.materials.text.tokenizer)
    coded = next(bench.coded(bench.of_contexts(contexts)))
    counted = text.counts[contexts.positions[0][coded.chunk.text.mask[0].numpy()]]
    for name, code in coded.codes.items():
        dense = code.to_dense().numpy().reshape(code.leading[0], -1, code.n_latents)[counted].reshape(-1, code.n_latents)
        twin = {"mean": dense.mean(0), "share": (dense != 0).mean(0), "max": dense.max(0).clip(0)}[value]
        np.testing.assert_allclose(sums.codes[name][3].toarray().ravel(), twin, rtol=1e-4, atol=1e-6)  # float32 of another batch
    assert sums.length[3] == counted.sum()


def test_explanations_come_from_a_file_of_latents_or_of_saes(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"3": "about cats", "5": null}')
    (tmp_path / "b.yaml").write_text("topk:\n  3: about dogs\n")
    assert explanations_in(tmp_path / "a.json", ["topk"]).of("topk", 3) == "about cats"
    assert explanations_in(tmp_path / "a.json", ["topk"]).of("topk", 5) is None
    assert explanations_in(tmp_path / "b.yaml", ["topk", "tsae"]).of("topk", 3) == "about dogs"
    with pytest.raises(ConfigError, match="explains topk, but the SAEs are tsae"):
        explanations_in(tmp_path / "b.yaml", ["tsae"])
    (tmp_path / "c.json").write_text('{"cat": "about cats"}')
    with pytest.raises(ConfigError, match="number of a latent"):
        explanations_in(tmp_path / "c.json", ["tsae"])


FILE = CorpusConfig(source="pairs.jsonl")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fields": ("chosen", "rejected")}, "but of no text"),
        ({"fields": ("chosen",), "corpus": FILE}, "two different columns"),
        ({"fields": ("a", "b"), "label": "topic", "corpus": FILE}, "--fields and --label both name groups"),
        ({"groups": ("a.jsonl",)}, "two or more different texts"),
        ({"groups": ("a.jsonl", "b.jsonl"), "corpus": FILE}, "corpus has no use"),
        ({"groups": ("a.jsonl", "b.jsonl"), "only": ("a",)}, "only names values of a label"),
        ({"tokens": "differing"}, "which pairs only have"),
        ({"tokens": "last_turn", "corpus": FILE}, "not read as conversations"),
        ({"fields": ("a", "b"), "corpus": FILE, "confounds": ("score",)}, "both texts of a pair share"),
        ({"confounds": ("score_{field}",)}, "is for pairs"),
        ({"level": 1.5}, "level is 1.5"),
        ({"min_units": 1}, "min_units is 1"),
    ],
)
def test_what_cannot_be_meant_is_told(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Alignment.Config(sae=("run",), **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"label": "subject"}, 'no text has a label "subject"'),
        ({"label": "topic", "only": ("x", "w")}, "no text has the topic w"),
        ({"label": "topic", "max_texts": 3}, r"too few texts of different sources to compare: x \(3\)"),
        ({"fields": ("chosen", "rejected"), "confounds": ("topic_{field}",)}, 'the confound "topic_chosen" is nothing in row 1'),
        ({"label": "topic", "confounds": ("topic",)}, 'is "x" in row 1'),
        ({"label": "topic", "text_tokens": 99999}, "the model reads"),
    ],
)
def test_what_the_text_does_not_have_is_told(
    studied_run: RunFolder, preferences: Path, settings: dict[str, Any], words: str
) -> None:
    field = "text" if "fields" in settings else "chosen"
    settings = config(studied_run, **({"corpus": CorpusConfig(source=str(preferences), context_len=32, field=field)} | settings))
    with pytest.raises(ConfigError, match=words):
        collect(settings, Workbench(settings.of_bench()))
