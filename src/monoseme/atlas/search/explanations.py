"""Explanations by their words (BM25), or by their meaning (a local sentence model)."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.said import Explanation
from monoseme.atlas.sentence_model import SentenceModel

_WORDS = re.compile(r"\w+|[^\w\s]")


class ExplanationHit(NamedTuple):
    """An explanation that was found."""

    explanation: Explanation
    score: float
    """BM25, at least 0; or the cosine with the query, in [-1, 1]."""

    def facts(self) -> dict[str, Any]:
        """JSON-able: whose explanation it is, how well it goes with the query, who said it, and what."""
        said = self.explanation
        return {"latent": said.latent, "score": self.score, "source": said.source, "text": said.text}


def search_explanations(said: Sequence[Explanation], query: str, *, n: int = 20) -> list[ExplanationHit]:
    """The `n` explanations that go best with the query's words, the best first; only those with a word of it.

    Words are runs of letters and digits, case aside; signs are words too, since latents fire on them. Ties go by order given.
    Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", with Lucene's idf, k1 = 1.5 and
    b = 0.75, as bm25s has them.
    """
    scores = WordIndex([explanation.text or "" for explanation in said]).scores(query)
    return _best(said, scores, n=n, least=0.0)


class WordIndex:
    """Texts that are searched by their words more than once."""

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s

        words = [_words(text) for text in texts]
        self._n, self._known = len(texts), set[str]().union(*words)
        self._index = bm25s.BM25(backend="numpy", auto_compile=False)
        if self._known:
            self._index.index(words, show_progress=False)

    def scores(self, query: str) -> NDArray[np.float64]:
        """BM25 of each text, 0 where it has no word of the query; see `search_explanations`."""
        wanted = [word for word in dict.fromkeys(_words(query)) if word in self._known]
        if not wanted:
            return np.zeros(self._n)
        return np.asarray(self._index.get_scores(wanted), dtype=np.float64)


def search_by_meaning(said: Sequence[Explanation], query: str, model: SentenceModel, *, n: int = 20) -> list[ExplanationHit]:
    """The `n` explanations whose vectors are nearest to the query's by cosine, the nearest first; missing ones are left out."""
    found = [explanation for explanation in said if explanation.text]
    if not found:
        return []
    vectors = model.vectors([explanation.text or "" for explanation in found])
    return _best(found, vectors @ model.vectors([query])[0], n=n, least=-np.inf)


def _best(said: Sequence[Explanation], scores: NDArray[np.float64], *, n: int, least: float) -> list[ExplanationHit]:
    order = np.argsort(-scores, kind="stable")[:n].tolist()
    return [ExplanationHit(said[i], float(scores[i])) for i in order if scores[i] > least]


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.lower())
