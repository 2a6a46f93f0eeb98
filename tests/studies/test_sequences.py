"""Latents over concatenated passages: what follows the passage and what follows the context, and how fast."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from monoseme.core.errors import ConfigError
from monoseme.evaluation import DocumentWeights
from monoseme.pipeline import RunFolder
from monoseme.studies._sequences.metrics import Following, TextSums
from monoseme.studies._sequences.passages import text_of_files
from monoseme.studies._sequences.sums import Track, border_changes, spread, switches
from monoseme.studies._texts import TextContexts
from monoseme.studies.sequences import Sequences
from monoseme.testing import tiny_tokenizer
from monoseme.text import CorpusConfig, TextTokenizer

LENGTHS = (61, 83, 47, 71, 53, 97)
CONTEXT = 59


def planted(seed: int, *, lag: int = 0) -> Track:
    """Latents: 0-5 on through one passage each (`lag` tokens late), 6 on at the starts of contexts, 7 at random."""
    passage = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    late = np.concatenate([np.zeros(lag, dtype=np.int64), passage[: len(passage) - lag]])
    place = np.arange(len(passage)) % CONTEXT
    codes = np.zeros((len(passage), 8))
    codes[np.arange(len(passage)), late] = 1.0
    codes[:, 6] = place < 11
    codes[:, 7] = np.random.default_rng(seed).random(len(passage)) < 0.3
    return Track(sparse.csr_array(codes), passage, np.arange(len(passage)) // CONTEXT)


def test_only_the_latents_that_stay_with_a_passage_are_found() -> None:
    found = spread(planted(0), n_shifts=12)
    eta = found.between / found.total
    corrected = (found.between - found.shifted) / (found.total - found.shifted)
    assert eta[:6] == pytest.approx(1.0)
    assert corrected[:6] == pytest.approx(1.0)
    assert np.abs(corrected[6:]).max() < 0.05  # the context's clock and noise, whatever their variance between passages is


def test_the_shares_are_those_of_an_analysis_of_variance() -> None:
    track = planted(1)
    dense = track.codes.toarray()
    grand = dense.mean(0)
    between = sum(n * (dense[track.passage == p].mean(0) - grand) ** 2 for p, n in enumerate(LENGTHS))
    found = spread(track, n_shifts=1)
    assert found.between == pytest.approx(between)
    assert found.total == pytest.approx(((dense - grand) ** 2).sum(0))


def test_borders_of_passages_are_told_from_borders_of_contexts() -> None:
    window = 4
    track = planted(2)
    only_passages = border_changes(track._replace(codes=track.codes[:, :6]), window=window)
    only_contexts = border_changes(track._replace(codes=track.codes[:, [6]]), window=window)
    assert only_passages.change["passage"] == pytest.approx(2 * only_passages.n["passage"])  # one latent off, another on
    assert only_passages.change["context"] == only_passages.change["within"] == 0
    assert only_contexts.change["context"] == pytest.approx(only_contexts.n["context"])
    starts = np.cumsum(LENGTHS)[:-1]
    free = [s for s in starts if min(s % CONTEXT, -s % CONTEXT) >= window]
    assert only_passages.n["passage"] == len(free)


@pytest.mark.parametrize("lag", [0, 3])
def test_a_code_that_lags_behind_by_some_tokens_switches_that_much_later(lag: int) -> None:
    sums = TextSums(DocumentWeights(n_replicates=40, seed=0), Following(4, 4, 16))
    for text in range(5):
        track = planted(text, lag=lag)
        sums.add(text, track._replace(codes=track.codes[:, :6], context=np.zeros_like(track.context)))
    found = {metric.name: metric.value for metric in sums.metrics()}
    assert found["switch_tokens"] == pytest.approx(lag)
    assert found["passage_distance"] == pytest.approx(1.0)


def test_noise_is_at_no_distance_and_has_no_switch() -> None:
    sums = TextSums(DocumentWeights(n_replicates=100, seed=0), Following(4, 4, 16))
    for text in range(12):
        track = planted(text)
        sums.add(text, track._replace(codes=track.codes[:, [7]], context=np.zeros_like(track.context)))
    found = {metric.name: metric for metric in sums.metrics()}
    distance, error = found["passage_distance"].value, found["passage_distance"].standard_error
    assert distance is not None
    assert error is not None
    assert abs(distance) < 4 * error  # few texts: the error is uncertain too
    assert (
        found["switch_tokens"].why_missing
        == "the codes of neighbouring passages are not certainly apart, so there is nothing to switch"
    )


def test_a_border_near_the_end_of_a_context_is_not_followed() -> None:
    track = planted(0)
    assert switches(track._replace(context=np.zeros_like(track.context)), reach=16).n == len(LENGTHS) - 1
    assert switches(track, reach=16).n < len(LENGTHS) - 1


def test_texts_begin_contexts_of_their_own_and_are_padded_at_the_end() -> None:
    tokenizer = TextTokenizer(tiny_tokenizer())
    corpus = CorpusConfig(context_len=5, bos="never")
    block = TextContexts([[7, 8, 9, 10, 11, 12, 13], [9]], corpus, tokenizer).block(0, 3)
    assert block.positions.tolist() == [[0, 1, 2, 3, 4], [5, 6, -1, -1, -1], [0, -1, -1, -1, -1]]
    assert block.mask.tolist() == [[True] * 5, [True, True, False, False, False], [True, False, False, False, False]]
    assert block.tokens[1, :2].tolist() == [12, 13]


def test_passages_of_a_file_are_parted_by_blank_lines_or_a_marker(tmp_path: Path) -> None:
    tokenizer = TextTokenizer(tiny_tokenizer())
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree\n---\nfour\n")
    by_blank = text_of_files([tmp_path / "a.txt"], tokenizer, marker=None)
    by_marker = text_of_files([tmp_path / "a.txt"], tokenizer, marker="---")
    assert [p.topic for p in by_blank.passages] == ["one two", "three --- four"]
    assert [p.topic for p in by_marker.passages] == ["one two three", "four"]
    (tmp_path / "b.txt").write_text("five")
    assert [p.topic for p in text_of_files([tmp_path / "a.txt", tmp_path / "b.txt"], tokenizer, marker=None).passages] == [
        "a",
        "b",
    ]
    with pytest.raises(ConfigError, match="one passage only"):
        text_of_files([tmp_path / "b.txt"], tokenizer, marker=None)


def test_the_study_draws_one_text_and_measures_many(studied_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("The cat saw the dog. The cat saw the sun.\n\nThe river found the tree.")
    config = Sequences.Config(
        sae=(str(studied_run.path),),
        part=("high", "low"),
        text=(str(tmp_path / "own.txt"),),
        n_texts=3,
        n_passages=3,
        passage_tokens=14,
        reach=4,
        window=2,
        n_replicates=30,
    )
    result = Sequences(config).investigate(tmp_path / "work")
    subjects = {"matryoshka (high)", "matryoshka (low)", "tsae (high)", "tsae (low)"}
    assert set(result.metrics) == subjects
    drawn = [row for row in result.tables["passages"] if row["is_drawn"]]
    assert [row["topic"] for row in drawn] == ["The cat saw the dog. The cat saw the su…", "The river found the tree."]
    sampled = [row["topic"] for row in result.tables["passages"] if row["text"] == 1]
    assert len(sampled) == 3
    assert all(a != b for a, b in itertools.pairwise(sampled))
    assert {figure.name for figure in result.figures} >= {"activity_tsae", "lines_tsae", "activity_matryoshka", "following"}
    for figure in result.figures:
        assert figure.spec()
    assert Sequences(config).investigate(tmp_path / "work").tables["numbers"] == result.tables["numbers"]


def test_a_marker_without_a_text_is_told() -> None:
    with pytest.raises(ConfigError, match="--text"):
        Sequences.Config(sae=("x",), marker="---")
