"""Sentences ranked by the mean, largest and last activation of a latent, and as llama3_interpretability_sae ranks them."""

import heapq
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from atlas_fakes import SITE, WORDS, FakeSAE, FakeSource, make_block
from safetensors.numpy import load_file

from monoseme.atlas import PassOptions, Target, TextNames, open_atlas, scan
from monoseme.atlas.scanning.firings import Firings, Rows, sort_firings
from monoseme.atlas.sentences import AGGREGATIONS, Sentences, open_sentences, rank_sentences
from monoseme.atlas.sentences.gathering import SentenceGatherer
from monoseme.core.errors import ConfigError

F, N_SENTENCES, MOST = 5, 41, 7


def _sentences(seed: int) -> list[np.ndarray]:
    """Codes [length, F] of each sentence: many zeros, many ties, some negative."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(-2, 6, (int(rng.integers(1, MOST)), F)).astype(np.float32) * (rng.random((1, F)) < 0.6)
        for _ in range(N_SENTENCES)
    ]


def _chunk(sentences: list[np.ndarray], first: int) -> tuple[Rows, Firings]:
    document = np.repeat(np.arange(first, first + len(sentences)), [len(codes) for codes in sentences])
    position = np.concatenate([np.arange(len(codes)) for codes in sentences])
    codes = np.concatenate(sentences)
    row, latent = np.nonzero(codes)
    rows = Rows(document, position, np.arange(len(document)), document)
    return rows, sort_firings(latent, codes[row, latent], row)


def _gathered(folder: Path, sentences: list[np.ndarray], sizes: list[int], *, n_best: int = 4, as_llama3: bool = False):
    found, first = SentenceGatherer(F, folder, n_best=n_best, as_llama3=as_llama3), 0
    for size in sizes:
        found.add(*_chunk(sentences[first : first + size], first))
        first += size
    return found


def _kept(found: SentenceGatherer) -> dict[tuple[int, str], list[tuple[float, int]]]:
    """(latent, aggregation) -> (value, sentence), the best first."""
    entries = found._best.entries()
    kept: dict[tuple[int, str], list[tuple[float, int]]] = defaultdict(list)
    values = (np.uint64(0xFFFF_FFFF) - entries.key).astype(np.uint32).view(np.float32)
    for group, value, document in zip(entries.group.tolist(), values.tolist(), entries.document.tolist(), strict=True):
        kept[group % F, AGGREGATIONS[group // F]].append((value, abs(document)))
    return kept


def _aggregated(codes: np.ndarray) -> dict[str, np.ndarray]:
    mean = (codes.astype(np.float64).sum(0) / len(codes)).astype(np.float32)
    return {"mean": mean, "max": codes.max(0), "last": codes[-1]}


def test_rankings_equal_those_of_dense_codes(tmp_path: Path) -> None:
    sentences = _sentences(0)
    expected = defaultdict(list)
    for number, codes in enumerate(sentences):
        for name, values in _aggregated(codes).items():
            for latent in range(F):
                if values[latent] > 0:
                    expected[latent, name].append((float(values[latent]), number))
    best = {key: sorted(found, key=lambda entry: (-entry[0], entry[1]))[:4] for key, found in expected.items()}
    assert _kept(_gathered(tmp_path, sentences, [11, 1, 29])) == best
    assert len(best) == 3 * F


def test_the_llama3_mode_equals_that_pipelines_loop(tmp_path: Path) -> None:
    sentences = [np.maximum(codes, 0) for codes in _sentences(1)] + [np.zeros((2, F), np.float32)]
    heaps: dict[tuple[int, str], list[tuple[float, int]]] = defaultdict(list)
    for number, codes in enumerate(sentences):
        for name, values in _aggregated(codes).items():
            latent = int(torch.from_numpy(values).argmax())
            heapq.heappush(heaps[latent, name], (float(values[latent]), number))
            if len(heaps[latent, name]) > 4:
                heapq.heappop(heaps[latent, name])
    expected = {key: sorted(heap, reverse=True) for key, heap in heaps.items()}
    assert _kept(_gathered(tmp_path, sentences, [13, 29], as_llama3=True)) == expected


def test_the_llama3_mode_on_codes_of_the_original(tmp_path: Path, shared: Path) -> None:
    codes = load_file(shared / "vectors" / "llama3_sae.safetensors")["forward_1d.h_sparse"]
    sentences = np.split(codes, [5, 8, 9])
    found = SentenceGatherer(codes.shape[1], tmp_path, n_best=100, as_llama3=True)
    document = np.repeat(np.arange(4), [5, 3, 1, 4])
    row, latent = np.nonzero(codes)
    rows = Rows(document, np.arange(13), np.arange(13), document)
    found.add(rows, sort_firings(latent, codes[row, latent], row))
    entries = found._best.entries()
    chosen = {(group // 30, -document): group % 30 for group, document in zip(entries.group, entries.document, strict=True)}
    means, peaks, lasts = ([int(torch.from_numpy(a(part)).argmax()) for part in sentences] for a in (_mean, _peak, _last))
    assert [chosen[0, i] for i in range(4)] == means
    assert [chosen[1, i] for i in range(4)] == peaks
    assert [chosen[2, i] for i in range(4)] == lasts


def _mean(codes: np.ndarray) -> np.ndarray:
    return codes.mean(0)


def _peak(codes: np.ndarray) -> np.ndarray:
    return codes.max(0)


def _last(codes: np.ndarray) -> np.ndarray:
    return codes[-1]


@pytest.mark.parametrize("as_llama3", [False, True])
def test_rankings_are_the_same_however_the_pass_was_cut_killed_or_shared(tmp_path: Path, as_llama3: bool) -> None:
    sentences = [np.maximum(codes, 0) for codes in _sentences(2)]
    whole = _kept(_gathered(tmp_path, sentences, [41], as_llama3=as_llama3))
    assert _kept(_gathered(tmp_path, sentences, [3, 17, 21], as_llama3=as_llama3)) == whole
    killed = _gathered(tmp_path, sentences, [20], as_llama3=as_llama3)
    killed.checkpoint(3)
    killed.add(*_chunk(sentences[20:25], 20))
    killed.restore(3)
    other = SentenceGatherer(F, tmp_path, n_best=4, as_llama3=as_llama3)
    other.add(*_chunk(sentences[20:], 20))
    killed.merge(other)
    assert _kept(killed) == whole


@pytest.fixture
def ranked(tmp_path: Path) -> Sentences:
    """Sixty sentences of three words; latent 0 is stronger on each later one, 1 fires on the last word of the first two."""
    tokens = torch.tensor([[1, 2, 4]]).repeat(60, 1)
    x = torch.zeros(60, 3, 2)
    x[:, 1, 0] = torch.arange(60) + 1.0
    x[:2, 2, 1] = 100.0
    source = FakeSource([make_block(tokens, torch.arange(60)[:, None].expand(60, 3), torch.arange(3).expand(60, 3), x)])
    specs = [rank_sentences(), rank_sentences(argmax_as_llama3=True)]
    names = TextNames(texts=lambda ids: [WORDS[i] for i in ids])
    scan(
        source,
        [Target("topk", FakeSAE(2), (SITE,))],
        tmp_path / "atlas",
        names=names,
        options=PassOptions(gatherers=tuple(specs)),
    )
    return _opened(tmp_path / "atlas", as_llama3=False)


def _opened(folder: Path, *, as_llama3: bool) -> Sentences:
    atlas = open_atlas(folder)
    found = open_sentences(folder, atlas.latents("topk"), atlas.text, as_llama3=as_llama3)
    assert found is not None
    return found


def test_a_scan_ranks_sentences_and_shows_their_text(ranked: Sentences) -> None:
    best = ranked.best(0, "mean", n=2)
    assert [(s.document, s.value, s.text) for s in best] == [
        (59, 20.0, " the cat sat"),
        (58, pytest.approx(59 / 3), " the cat sat"),
    ]
    assert [s.document for s in ranked.best(1, "last")] == [0, 1]
    assert ranked.best(0, "last") == ()


def test_the_last_fifty_of_a_llama3_ranking_are_shown_and_latents_with_fewer_are_not(ranked: Sentences) -> None:
    argmax = _opened(ranked.artifact.path.parents[1], as_llama3=True)
    shown = argmax.shown_as_llama3(0, "max")
    assert shown is not None
    assert [s.document for s in shown] == list(range(10, 60))
    assert argmax.shown_as_llama3(1, "max") is None
    assert [s.document for s in argmax.best(1, "max")] == [1, 0]


def test_what_there_is_not_is_told(ranked: Sentences, planted) -> None:
    with pytest.raises(ConfigError, match='not ranked by "median"'):
        ranked.best(0, "median")
    with pytest.raises(ConfigError, match="no latent 2"):
        ranked.best(2)
    with pytest.raises(ConfigError, match="keeps 100"):
        rank_sentences(n_best=50, argmax_as_llama3=True)
    assert open_sentences(planted.path, planted.latents("topk"), planted.text) is None
