"""Explanations found by their words: scores by a hand-written BM25."""

import math

import pytest

from monoseme.atlas.said import Explanation
from monoseme.atlas.search import search_by_meaning, search_explanations

TEXTS = ("fires on the cat", "the dog, the dog", None, "commas , and cats", "cat cat cat in long texts of other words")
SAID = [Explanation(latent=i, text=text) for i, text in enumerate(TEXTS)]


def _bm25(query: list[str]) -> list[float]:
    """Lucene's: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), tf / (tf + k1 (1 - b + b length / mean length))."""
    words = [(text or "").replace(",", " , ").split() for text in TEXTS]
    mean = sum(map(len, words)) / len(words)
    scores = []
    for document in words:
        score = 0.0
        for word in query:
            n, tf = sum(word in other for other in words), document.count(word)
            score += math.log(1 + (len(words) - n + 0.5) / (n + 0.5)) * tf / (tf + 1.5 * (0.25 + 0.75 * len(document) / mean))
        scores.append(score)
    return scores


def test_scores_are_those_of_bm25() -> None:
    found = search_explanations(SAID, "CAT the zebra")
    expected = _bm25(["cat", "the"])
    order = sorted((i for i in range(5) if expected[i] > 0), key=lambda i: -expected[i])
    assert [hit.explanation.latent for hit in found] == order
    assert [hit.score for hit in found] == pytest.approx([expected[i] for i in order], rel=1e-5)  # bm25s keeps float32


def test_signs_are_words_and_what_is_nowhere_finds_nothing() -> None:
    assert [hit.explanation.latent for hit in search_explanations(SAID, ",")] == [3, 1]
    assert search_explanations(SAID, "zebra") == []
    assert search_explanations([], "cat") == []
    assert len(search_explanations(SAID, "cat the", n=1)) == 1


class _Letters:
    """Vectors that count the letters c and d."""

    def vectors(self, texts):
        import numpy as np

        found = np.array([[text.count("c"), text.count("d")] for text in texts], dtype=np.float64)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def test_meaning_is_the_nearness_of_vectors() -> None:
    found = search_by_meaning(SAID, "ddd", _Letters())  # type: ignore[arg-type]
    assert found[0].explanation.latent == 1
    assert found[0].score == pytest.approx(1.0)
    assert {hit.explanation.latent for hit in found} == {0, 1, 3, 4}
