"""What is predictable: planted events are found and their confounds are not, files of texts are read, and the study runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monoseme.core.errors import BadRowError, ConfigError, CorpusError, EmptyCorpusError
from monoseme.evaluation.predicted_share import PredictedShare
from monoseme.pipeline import RunFolder
from monoseme.reports.figures import LIGHT
from monoseme.studies._predictability.attention import head_measures
from monoseme.studies._predictability.events import (
    EventMeasures,
    Layout,
    layout,
    likeness,
    measure,
    novelty,
    random_cut,
    similarity,
)
from monoseme.studies._predictability.garden import effects, shares_at
from monoseme.studies._predictability.reads import Reader, TwoParts
from monoseme.studies._predictability.shares import measure_shares, share_rows
from monoseme.studies._predictability.summary import mean_rows, means, weighted_mean
from monoseme.studies._predictability.texts import Span, own_texts, read_texts
from monoseme.studies._predictability.trajectory import trajectory
from monoseme.studies._workbench import Workbench
from monoseme.studies.predictability import Predictability

_F = 31


def words(text: str) -> list[Span]:
    """A token for each word, with the punctuation behind it."""
    starts = [0, *(i + 1 for i, c in enumerate(text) if c == " ")]
    return [Span(start, start + len(text[start:].split(" ")[0])) for start in starts]


def rows_file(folder: Path, *rows: object) -> Path:
    file = folder / "texts.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


# -- planted texts ---------------------------------------------------------------------------------------------------


def planted(rng: np.random.Generator) -> Layout:
    """Four events of three sentences of 7 to 17 tokens."""
    lengths = rng.integers(7, 18, size=(4, 3))
    stops = lengths.ravel().cumsum()
    event = np.repeat(np.arange(4), lengths.sum(1))
    boundaries = tuple(int(stop) - 1 for stop in stops[2:-1:3])
    return Layout(event, boundaries, tuple(int(stop) - 1 for stop in stops[:-1] if int(stop) - 1 not in boundaries))


def sentence_of(places: Layout) -> NDArray[np.int64]:
    ends = sorted((*places.boundaries, *places.ends))
    return np.searchsorted(ends, np.arange(len(places.event)))


def noise(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return 0.5 * rng.standard_normal((n, _F))


def slow_code(rng: np.random.Generator, places: Layout) -> NDArray[np.float64]:
    """One direction for each event."""
    return rng.standard_normal((4, _F))[places.event] + noise(rng, len(places.event))


def fast_code(rng: np.random.Generator, places: Layout) -> NDArray[np.float64]:
    """One direction for each token."""
    return rng.standard_normal((len(places.event), _F)) + noise(rng, len(places.event))


def sentence_code(rng: np.random.Generator, places: Layout) -> NDArray[np.float64]:
    """One direction for each sentence, whatever the event; it changes at every full stop."""
    return rng.standard_normal((12, _F))[sentence_of(places)] + noise(rng, len(places.event))


def punctuation_code(rng: np.random.Generator, places: Layout) -> NDArray[np.float64]:
    """Two tokens around every full stop have a direction of their own, and it grows with the length of the sentence."""
    made = noise(rng, len(places.event))
    for gap in (*places.boundaries, *places.ends):
        made[gap - 1 : gap + 1] += 3 * np.ones(_F) + 0.1 * gap
    return made


def drifting_code(rng: np.random.Generator, places: Layout) -> NDArray[np.float64]:
    """Goes slowly from one direction to another along the text, past all boundaries."""
    share = np.linspace(0, 1, len(places.event))[:, None]
    a, b, c = 2 * rng.standard_normal((3, _F))
    return a * (1 - share) + b * share + c * np.sin(3 * share) + noise(rng, len(share))


def planted_means(code: object, n_texts: int = 16) -> dict[str, tuple[float, float | None, float | None]]:
    found: list[EventMeasures] = []
    for i in range(n_texts):
        rng = np.random.default_rng((7, i))
        places = planted(rng)
        found.append(measure(code(rng, places), places, window=6, tolerance=1, seed=i))  # pyright: ignore[reportCallIssue]
    mean = means({"code": found}, n_replicates=200, seed=0)
    return {name: tuple(mean["code", name].interval)[:3] for name in EventMeasures._fields}  # pyright: ignore[reportReturnType]


def test_a_text_with_planted_events_is_cut_at_their_boundaries() -> None:
    found = planted_means(slow_code)
    assert found["auroc"][0] > 0.99
    assert found["auroc_ends"][0] > 0.99
    assert found["f1"][0] > 0.95
    assert found["f1_chance"][0] < 0.3
    for name in ("event_gap", "sharpness", "sharpness_ends"):
        assert found[name][1] > 0.3, name


def test_a_fast_factor_has_no_events() -> None:
    found = planted_means(fast_code)
    for name, chance in (("auroc", 0.5), ("auroc_ends", 0.5), ("event_gap", 0.0), ("sharpness", 0.0), ("sharpness_ends", 0.0)):
        _, low, high = found[name]
        assert low < chance < high, name


@pytest.mark.parametrize("code", [sentence_code, punctuation_code])
def test_ends_of_sentences_are_not_taken_for_events(code: object) -> None:
    found = planted_means(code)
    assert found["auroc"][0] > 0.65, "against all gaps they look like events"
    value, low, high = found["auroc_ends"]
    assert low < 0.5 < high or value < 0.5
    assert abs(found["sharpness_ends"][0]) < 0.15


def test_a_slow_drift_is_not_taken_for_events() -> None:
    found = planted_means(drifting_code)
    assert found["within"][0] - found["across"][0] > 0.3, "near tokens are alike"
    assert found["event_gap"][0] < 0.05
    assert found["event_gap"][0] < planted_means(slow_code)["event_gap"][0] / 5


def test_what_moves_where_a_text_begins_does_not_count() -> None:
    places = Layout(np.repeat([0, 1], [30, 30]), (29,), (9, 44))
    codes = np.random.default_rng(0).standard_normal((60, _F)) * 0.1
    codes[:10] += 3  # a jump at the first sentence's end
    codes[30:] += 1
    jumps, rests = (measure(codes, places, window=6, tolerance=1, seed=0, start=start) for start in (0, 20))
    assert jumps.auroc_ends < 1
    assert (rests.auroc, rests.auroc_ends) == (1.0, 1.0)


def test_slow_and_fast_factors_are_told_apart_in_pairs() -> None:
    by_code: dict[str, list[EventMeasures]] = {"slow": [], "fast": []}
    for i in range(8):
        rng = np.random.default_rng((7, i))
        places = planted(rng)
        for name, code in (("slow", slow_code), ("fast", fast_code)):
            by_code[name].append(measure(code(rng, places), places, window=6, tolerance=1, seed=i))
    rows = mean_rows(means(by_code, n_replicates=200, seed=0), against="slow")
    gap = next(row for row in rows if (row["code"], row["measure"]) == ("fast", "event_gap"))
    assert gap["against"] == "slow"
    assert gap["difference_low"] > 0.3
    assert "against" not in rows[0]


# -- the formulas ----------------------------------------------------------------------------------------------------


def test_similarity_is_the_cosine_of_centred_rows() -> None:
    codes = np.random.default_rng(0).standard_normal((5, 7)) + 3
    centred = codes - codes.mean(0)
    assert similarity(codes)[1, 3] == pytest.approx(
        centred[1] @ centred[3] / (np.linalg.norm(centred[1]) * np.linalg.norm(centred[3])), abs=1e-14
    )
    assert not similarity(np.full((5, 7), 0.1)).any(), "a code that never changes has no directions"


def test_novelty_worked_by_hand() -> None:
    # Two tokens at e1, then three at e2; between sides 0, within sides 1.
    matrix = np.kron(np.eye(2), np.ones((3, 3)))[1:, 1:]
    assert novelty(matrix, window=2).tolist() == pytest.approx([np.nan, 1.0, 0.0 + (0 + 1) / 2 - 1 / 2, np.nan], nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(4, 19), window=st.integers(2, 5), seed=st.integers(0, 1000))
def test_novelty_is_its_definition(n: int, window: int, seed: int) -> None:
    matrix = similarity(np.random.default_rng(seed).standard_normal((n, 5)))
    for gap, score in enumerate(novelty(matrix, window=window)):
        left, right = range(gap + 1 - window, gap + 1), range(gap + 1, gap + 1 + window)
        if left[0] < 0 or right[-1] >= n:
            assert np.isnan(score)
            continue
        sides = [np.mean([matrix[i, j] for i in side for j in side if i != j]) for side in (left, right)]
        assert score == pytest.approx(np.mean(sides) - np.mean([matrix[i, j] for i in left for j in right]), abs=1e-12)


def test_measures_worked_by_hand() -> None:
    # Centred, the codes are +1 and -1: within an event 1, across -1, at every distance.
    places = Layout(np.array([0, 0, 0, 0, 1, 1, 1, 1]), boundaries=(3,), ends=(1, 5))
    codes = np.repeat([[2.0, 1.0], [0.0, 1.0]], 4, axis=0)
    found = measure(codes, places, window=2, tolerance=0, seed=0)
    assert found[:2] == pytest.approx((1.0, -1.0))
    assert likeness(similarity(codes), places.event) == pytest.approx((1.0, -1.0, 2.0))
    assert 0 < found.event_gap < 2, "a cut at random may be the true one"
    # Novelty is 2 at gap 3, 1 - 0 = 0 at gaps 1 and 5; at gaps 2 and 4 a side has one of each: (1 + -1) / 2 - 0 = 0.
    assert (found.sharpness, found.sharpness_ends) == pytest.approx((2.0, 2.0))
    assert (found.auroc, found.auroc_ends, found.f1) == (1.0, 1.0, 1.0)
    assert 0 <= found.f1_chance < 1


@pytest.mark.parametrize("lengths", [(5, 7, 13), (1, 1, 1), (2, 1, 9, 1)])
def test_a_text_cut_elsewhere_has_as_many_events_near_their_places(lengths: tuple[int, ...]) -> None:
    n, k = sum(lengths), len(lengths)
    cuts = np.array([random_cut(np.repeat(np.arange(k), lengths), np.random.default_rng(i)) for i in range(300)])
    assert (np.diff(cuts, axis=1) >= 0).all()
    assert all(np.unique(cut).tolist() == list(range(k)) for cut in cuts), "no event is without a token"
    if lengths == (5, 7, 13):
        moved = np.array([np.flatnonzero(np.diff(cut)) + 1 for cut in cuts]) - [5, 12]
        assert np.abs(moved).max() == n // (2 * k)
        assert np.abs(moved.mean(0)).max() < 0.5  # of -4 to 4, 300 times: the standard error is 0.15


def test_texts_without_a_kind_of_gap_have_no_such_number() -> None:
    found = measure(np.random.default_rng(1).standard_normal((9, 3)), Layout(np.repeat([0, 1], [5, 4]), (4,), ()), window=2,
                    tolerance=1, seed=0)  # fmt: skip
    assert np.isnan(found.auroc_ends)
    assert np.isnan(found.sharpness_ends)
    assert np.isfinite(found.auroc)


def test_events_and_sentence_ends_are_those_of_the_characters(tmp_path: Path) -> None:
    file = rows_file(tmp_path, {"events": ['One two. Three "four." Five', "six! Seven eight.", "Nine"]})
    text = read_texts(file).events[0]
    places = layout(text, words(text.text))
    assert places.event.tolist() == [0] * 5 + [1] * 3 + [2]
    assert places.boundaries == (4, 7)
    assert places.ends == (1, 3, 5)


def test_means_are_of_texts_that_have_the_number() -> None:
    values, weights = np.array([1.0, np.nan, 4.0]), np.array([[1.0, 0.0], [1.0, 5.0], [1.0, 2.0]])
    assert weighted_mean(values, weights).tolist() == [2.5, 4.0]
    assert np.isnan(weighted_mean(values[1:2], weights[1:2])).all()


def test_shares_at_a_word_worked_by_hand() -> None:
    parts = TwoParts(
        centred=np.array([[9.0, 9.0], [2.0, 0.0], [0.0, 2.0]]),
        predicted=np.array([[9.0, 9.0], [1.0, 0.0], [0.0, 1.0]]),
        novel=np.array([[9.0, 9.0], [0.0, 1.0], [0.0, 0.0]]),
    )
    found = shares_at(parts, [1, 2])
    assert found == pytest.approx({"novel_share": 1 / 3, "novel_energy": 1 / 8, "left_by_predicted": 2 / 8, "error": 3 / 8})


def test_effects_are_paired_means_of_all_and_of_each_kind() -> None:
    rows = [
        {"sae": "tfa", "where": "word", "measure": "error", "kind": kind, "garden_path": 1.0 + d, "control": 1.0, "difference": d}
        for kind, d in (("a", 1.0), ("a", 2.0), ("b", 4.0), ("b", float("nan")))
    ]
    found = {effect.kind: effect for effect in effects(rows)}
    assert found["all"].difference.value == pytest.approx(7 / 3)
    assert (found["all"].n_pairs, found["a"].n_pairs, found["b"].n_pairs) == (3, 2, 1)
    assert found["a"].difference.low == pytest.approx(1.5 - 12.7062 * 0.5, rel=1e-5)  # t of one degree of freedom
    assert found["b"].difference.low is None


def test_a_head_that_looks_at_its_event_worked_by_hand() -> None:
    maps = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.4, 0.6, 0, 0], [0.2, 0, 0, 0.8]])
    found = head_measures(maps, Layout(np.array([0, 0, 1, 1]), (1,), ()))
    assert found.first_slot == pytest.approx(2.1 / 4)
    assert found.distance == pytest.approx((1 + 2 + 1) / 3)  # token 0 has nothing to look at
    # Token 2 looks at token 0 of the other event, token 3 at token 2 of its own; even attention would be 0 of 2 and 1 of 3.
    assert found.own_event == pytest.approx(0.5)
    assert found.own_event_even == pytest.approx(1 / 6)


def test_pca_keeps_the_distances_of_three_dimensions() -> None:
    rng = np.random.default_rng(2)
    flat = rng.standard_normal((17, 3))
    points = trajectory(flat @ np.linalg.qr(rng.standard_normal((11, 3)))[0].T, "pca")
    assert points is not None
    assert np.linalg.norm(points[3] - points[11]) == pytest.approx(np.linalg.norm(flat[3] - flat[11]))
    assert trajectory(np.ones((17, 5)), "pca") is None
    assert trajectory(flat[:4], "pca") is None


# -- files -----------------------------------------------------------------------------------------------------------


def test_the_texts_of_the_package() -> None:
    texts = read_texts(own_texts())
    assert len(texts.events) >= 20
    assert {len(text.events) for text in texts.events} == {3, 4, 5}
    assert len(texts.pairs) >= 24
    for pair in texts.pairs:
        left, right = pair.garden_path, pair.control
        assert left.text[left.word.start :] == right.text[right.word.start :], "the same words from the marked one on"
        assert len(left.text.split()) == len(right.text.split())
        assert left.text[: left.word.start].split()[-1] == right.text[: right.word.start].split()[-1]


_GARDEN = {"garden_path": "While he ate the cake [fell].", "control": "While he sat the cake [fell]."}


def test_a_file_may_hold_both_kinds_and_names_are_optional(tmp_path: Path) -> None:
    texts = read_texts(rows_file(tmp_path, {"events": ["A b.", " C d. "]}, "", _GARDEN))
    assert [(text.name, text.text, text.events) for text in texts.events] == [("text 1", "A b. C d.", (Span(0, 4), Span(5, 9)))]
    assert (texts.pairs[0].name, texts.pairs[0].kind) == ("pair 3", "garden path")
    assert texts.pairs[0].garden_path == ("While he ate the cake fell.", Span(22, 26))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "line 1 is not JSON"),
        ("[1]", "line 1 holds list, not an object"),
        ({"text": "A"}, "neither events nor garden_path, but text"),
        ({"events": ["A", "B"], "control": "C"}, "has control, which a row with events does not have"),
        ({"events": ["A"]}, "two or more texts"),
        ({"events": ["A", 3]}, "two or more texts"),
        ({"events": ["A", "B"], "name": 3}, "name must be a text"),
        ({"garden_path": "He [fell]."}, "control must be a text"),
        (_GARDEN | {"control": "While he sat the cake fell."}, "control must have exactly one word in square brackets"),
        (_GARDEN | {"control": "While [he] sat the cake [fell]."}, "exactly one word"),
        (_GARDEN | {"control": "[fell]"}, "begins with its marked word"),
        (_GARDEN | {"control": "While he sat the cake [was]."}, "the marked words differ, fell and was"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_what_is_allowed(tmp_path: Path, row: object, words: str) -> None:
    with pytest.raises(BadRowError, match=words):
        read_texts(rows_file(tmp_path, row))


def test_files_that_are_not_there_or_empty_or_have_two_of_a_name(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be read"):
        read_texts(tmp_path / "nowhere.jsonl")
    with pytest.raises(EmptyCorpusError, match="has no rows"):
        read_texts(rows_file(tmp_path))
    twice = {"name": "x", "events": ["A", "B"]}
    with pytest.raises(BadRowError, match="two rows named x"):
        read_texts(rows_file(tmp_path, twice, twice))


# -- the whole -------------------------------------------------------------------------------------------------------


def small(run: RunFolder, events: Path, **settings: object) -> Predictability.Config:
    share = PredictedShare.Config(max_tokens=400, n_replicates=40, rank_tokens=4)
    given = {
        "sae": (str(run.path),),
        "window": 3,
        "tolerance": 1,
        "start_tokens": 0,
        "n_shown": 1,
        "n_replicates": 40,
        "trajectory": "pca",
        "share": share,
    } | settings
    return Predictability.Config(events=str(events), **given)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nouns = ("cat", "dog", "sun", "tree")
    texts = [
        {"name": f"t{i}", "events": [f"The {a} saw the {b}. The {b} saw the {a}.", f"The {c} liked the sun. The {c} saw."]}
        for i, (a, b, c) in enumerate([("cat", "dog", "tree"), ("sun", "tree", "dog"), ("dog", "sun", "cat")])
    ]
    pairs = [{"garden_path": f"The {a} saw the dog [found].", "control": f"The {a} liked the dog [found]."} for a in nouns]
    return rows_file(tmp_path_factory.mktemp("events"), *texts, *pairs)


def test_the_study_answers_all_questions(studied_run: RunFolder, events_file: Path, tmp_path: Path) -> None:
    study = Predictability(small(studied_run, events_file))
    result = study.investigate(tmp_path)
    shares = {(row["sae"], row["metric"]): row["value"] for row in result.tables["shares"]}
    for kind in ("energy", "variance"):
        assert sum(shares["tfa", f"{kind}_share_{name}"] for name in ("predicted", "novel", "cross")) == pytest.approx(
            1, abs=1e-12
        )
    assert ("topk", "effective_rank_all") in shares
    assert ("topk", "fvu_predicted") not in shares
    codes = {row["code"] for row in result.tables["events"]}
    assert {"tfa (predicted)", "tfa (novel)", "tfa", "topk", "mlsae"} < codes
    assert any(code.startswith("resid_post.") for code in codes)
    assert {(row["sae"], row["measure"]) for row in result.tables["garden_paths"]} >= {
        ("model", "surprisal"),
        ("tfa", "novel_share"),
    }
    assert [row["head"] for row in result.tables["attention"]] == [1, 2]
    names = [figure.name for figure in result.figures]
    assert names[:5] == ["shares", "over_time", "boundaries", "events", "garden_paths"]
    assert names[5:] == ["similarity_t0", "novelty_t0", "trajectory_t0", "attention_tfa_t0"]
    assert all(figure.render("json") for figure in result.figures)
    assert not any(ink in str(figure.spec()) for figure in result.figures for ink in (LIGHT.text, LIGHT.grid, *LIGHT.categories))
    assert len(result.findings) == 5
    assert all(finding.comparisons for finding in result.findings)
    assert {"tfa", "tfa (predicted)", "model"} <= set(result.metrics)
    assert any(metric.name == "events_auroc" for metric in result.metrics["tfa (predicted)"])
    kept = measure_shares(Workbench(study.config).eval_subjects(parts=False), study.config.share, tmp_path / "shares")
    assert share_rows(kept) == result.tables["shares"], "what was measured is kept"


def test_saes_without_parts_and_texts_without_pairs(studied_run: RunFolder, tmp_path: Path) -> None:
    file = rows_file(
        tmp_path, {"name": "t", "events": ["The cat saw the dog. The dog saw.", "The sun saw the tree. The sun saw."]}
    )
    config = small(studied_run, file, sae=(str(studied_run.sae("topk")),), n_shown=0)
    with pytest.warns(UserWarning, match="Train one that has, then name it too:  monoseme train --sae tfa"):
        result = Predictability(config).investigate(tmp_path / "work")
    assert result.tables["garden_paths"] == []
    assert {finding.verdict for finding in result.findings if "garden" in finding.claim} == {"not measured"}


def test_each_token_of_a_reading_is_its_text(studied_run: RunFolder, events_file: Path) -> None:
    reader = Reader(Workbench(small(studied_run, events_file)))
    text = "The cat saw the dog."
    reading = reader.read(text)
    n = len(reading.tokens)
    assert "".join(reading.tokens).replace(" ", "") == text.replace(" ", "")
    assert all(token == token.strip() for token in reading.tokens if token.strip())
    whole, predicted, novel = (reading.codes[name] for name in ("tfa", "tfa (predicted)", "tfa (novel)"))
    assert whole.shape == (n, 24)
    # Codes are float32.
    assert np.allclose(predicted + novel, whole, rtol=0, atol=1e-5)
    assert reading.maps["tfa"].shape == (1, 2, n, n)
    assert np.allclose(reading.maps["tfa"].sum(-1), 1, rtol=0, atol=1e-5)
    assert reading.rows_of(Span(4, 7)) == [i for i, token in enumerate(reading.tokens) if token in "cat"]
    assert np.isfinite(reading.surprisal[1:]).all()
    with pytest.raises(ConfigError, match="Cut it in two"):
        reader.read("cat " * 1000)


@pytest.mark.parametrize(("name", "value"), [("window", 1), ("tolerance", -1), ("n_shown", -1), ("n_replicates", 1)])
def test_settings_out_of_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=name):
        Predictability.Config(**{name: value})
