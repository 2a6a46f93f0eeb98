"""Searches what is said of the latents of one SAE: by words, or by meaning where the atlas knows a model of sentences.

The index of words is made at the first search. The vectors of all explanations of a wide SAE take minutes, so they are made in
the background; until then the search says how far they are.
"""

import functools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.search.explanations import WordIndex
from monoseme.core.errors import MonosemeError
from monoseme.web.latents._found import Found, found_by_score
from monoseme.web.latents._query import LatentFilter
from monoseme.web.latents._table import LatentsTable
from monoseme.web.run_files import UnavailableError

if TYPE_CHECKING:
    from monoseme.atlas import Annotation
    from monoseme.atlas.sentence_model import SentenceModel

_MOST = 1000
"""Latents that a search by explanation finds at most (count): further down the list it is chance."""
_NO_MODEL = (
    "no model of sentences is known, since none scored these explanations:"
    " monoseme score RUN --scorer embedding --scorer.model FOLDER"
)
_BATCH = 64
"""Explanations between two looks at the clock (count)."""


class Said:
    """The explanations of a table. Safe to ask from several threads."""

    def __init__(self, table: LatentsTable, annotations: "Sequence[Annotation]") -> None:
        self._table = table
        self._model = _sentence_model(annotations)
        self._lock = threading.Lock()
        self._vectors: _Vectors | None = None
        self._kept = functools.lru_cache(maxsize=32)(self._find)

    @property
    def why_no_meaning(self) -> str | None:
        """Why explanations cannot be searched by meaning; None where they can."""
        if self._model is None:
            return _NO_MODEL
        return None if self._model.is_dir() else f"the model of sentences is not at {self._model.name} any more"

    def find(self, asked: LatentFilter) -> Found:
        """The latents whose explanations go best with `asked.q`. Raises UnavailableError where there is no model, or not yet."""
        return self._kept(asked.q.strip(), asked.by == "meaning")

    def _find(self, query: str, by_meaning: bool) -> Found:
        latents, texts = self._explained
        if by_meaning:
            return found_by_score(self._nearness(texts, query), latents, by_meaning=True, most=_MOST)
        with self._lock:
            scores = self._words.scores(query)
        return found_by_score(scores, latents, by_meaning=False, most=_MOST)

    @functools.cached_property
    def _explained(self) -> tuple[NDArray[np.int64], list[str]]:
        return self._table.explanations()

    @functools.cached_property
    def _words(self) -> WordIndex:
        return WordIndex(self._explained[1])

    def _nearness(self, texts: list[str], query: str) -> NDArray[np.float64]:
        if self._model is None or self.why_no_meaning is not None:
            raise UnavailableError(self.why_no_meaning or "")
        with self._lock:
            self._vectors = self._vectors or _Vectors(texts, self._model)
        return self._vectors.nearness(query)


class _Vectors:
    """The vectors of texts, made by a thread of their own."""

    def __init__(self, texts: list[str], folder: Path) -> None:
        self._texts, self._folder = texts, folder
        self._lock = threading.Lock()
        self._model: SentenceModel | None = None
        self._batches = list[NDArray[np.float32]]()
        self._failed: MonosemeError | None = None
        self._thread = threading.Thread(target=self._make, daemon=True, name="vectors of explanations")
        self._thread.start()

    def nearness(self, query: str) -> NDArray[np.float64]:
        """The cosine of each text with the query. Raises UnavailableError until all vectors are there."""
        # Long enough for a narrow SAE to answer at once.
        self._thread.join(timeout=2)
        if self._failed is not None:
            raise UnavailableError(str(self._failed)) from self._failed
        if self._thread.is_alive() or self._model is None:
            n_done = sum(len(batch) for batch in self._batches)
            raise UnavailableError(
                f"the vectors of {n_done:,} of {len(self._texts):,} explanations are made so far\n  Search again in a while."
            )
        with self._lock:
            vector = self._model.vectors([query])[0]
        return np.concatenate([batch @ vector for batch in self._batches])

    def _make(self) -> None:
        from monoseme.atlas.sentence_model import SentenceModel

        try:
            model = SentenceModel(self._folder, batch_size=_BATCH)
            for begin in range(0, len(self._texts), _BATCH):
                self._batches.append(model.vectors(self._texts[begin : begin + _BATCH]).astype(np.float32))
            self._model = model
        except MonosemeError as error:
            self._failed = error


def _sentence_model(annotations: "Sequence[Annotation]") -> Path | None:
    """The folder of the model that the newest scores by meaning were made with."""
    configs = (a.artifact.config for a in annotations if a.holds == "scores")
    folders = (config["config"].get("model") for config in configs if config["scorer"] == "embedding")
    return next((Path(folder) for folder in folders if folder), None)
