"""How well each label shows in each space, with intervals: from scores of tokens to rows, metrics and replicates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.evaluation import Definition, DocumentWeights, Metric
from monoseme.evaluation._metric import measured
from monoseme.studies._base import Row
from monoseme.studies._intervals import of_replicates
from monoseme.studies._maps.neighbours import Space
from monoseme.studies._maps.quality import Labelling, Scores, purity, silhouette

_SPACES = {"codes": "the codes (cosine distance)", "tsne": "the t-SNE map", "umap": "the UMAP map", "directions": "the decoder"}


class Measuring(NamedTuple):
    """How scores are taken."""

    k: int
    """Neighbours."""
    n_shuffles: int
    weights: DocumentWeights
    seed: int


class Measure(NamedTuple):
    """One measure of one label in one space."""

    measure: str
    space: str
    label: str
    replicates: NDArray[np.float64]
    """[W], the estimate first."""
    shuffled: NDArray[np.float64]
    """[S]"""
    n: int
    n_sources: int
    by_source: bool
    k: int

    @property
    def name(self) -> str:
        """As the metric is called."""
        return f"{self.measure}_{self.space}_{self.label}"

    def row(self) -> Row:
        """For the table."""
        interval = of_replicates(self.replicates)
        exists = bool(np.isfinite(interval.value))
        known = self.shuffled[np.isfinite(self.shuffled)]
        low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (None, None)
        return {
            "measure": self.measure,
            "space": self.space,
            "label": self.label,
            "value": interval.value if exists else None,
            "low": interval.low if exists else None,
            "high": interval.high if exists else None,
            "shuffled": float(known.mean()) if len(known) else None,
            "shuffled_low": None if low is None else float(low),
            "shuffled_high": None if high is None else float(high),
            "n_tokens": self.n,
            "n_sources": self.n_sources,
        }

    def metric(self) -> Metric:
        """With its definition."""
        spread = self.replicates[1:][np.isfinite(self.replicates[1:])]
        return measured(
            Definition(name=self.name, definition=self._definition(), unit="fraction", better="neither"),
            float(self.replicates[0]),
            n=self.n,
            n_documents=self.n_sources,
            standard_error=float(spread.std(ddof=1)) if len(spread) > 1 and self.n_sources > 1 else None,
            why_missing="no token has a label that tokens of another source have too",
        )

    def _definition(self) -> str:
        others = "other sources" if self.by_source else "all others"
        what = {
            "purity": f"Mean share of the {self.k} nearest of {others} that have the same label, in {_SPACES[self.space]}.",
            "silhouette": f"Mean of (b - a) / max(a, b) in {_SPACES[self.space]}; a is the mean distance to the own label's, of "
            f"{others}, b to those of the nearest other label.",
        }
        return what[self.measure] + f" Labels: {self.label}."


def measures_of(rows: Mapping[str, Any], labels: Mapping[str, Labelling], how: Measuring) -> Iterator[Measure]:
    """Both measures of every label in every space; `rows`: space -> rows of unit length, or points."""
    for label, labelling in labels.items():
        shuffled = labelling.shuffled(how.n_shuffles, seed=how.seed)
        for space, held in rows.items():
            made = Space(held)
            scores = {
                "purity": purity(made, labelling, shuffled, k=how.k),
                "silhouette": silhouette(made, labelling, shuffled),
            }
            yield from (_measure(name, space, label, labelling, score, how) for name, score in scores.items())


def _measure(name: str, space: str, label: str, labelling: Labelling, scores: Scores, how: Measuring) -> Measure:
    known = np.isfinite(scores.of_token)
    sources, number = np.unique(labelling.source[known], return_inverse=True)
    sums = np.bincount(number, weights=scores.of_token[known], minlength=len(sources))
    counts = np.bincount(number, minlength=len(sources))
    weights = how.weights.of([int(source) for source in sources]).numpy()
    n = weights.T @ counts
    replicates = np.divide(weights.T @ sums, n, out=np.full(n.shape, np.nan), where=n > 0)
    return Measure(name, space, label, replicates, scores.shuffled, int(known.sum()), len(sources), labelling.by_source, how.k)


def labelling_of(values: Sequence[str | None], source: NDArray[np.int64], *, by_source: bool) -> Labelling:
    """Names as numbers, in alphabetical order."""
    names = sorted({value for value in values if value is not None})
    number = {name: i for i, name in enumerate(names)}
    of = np.array([-1 if value is None else number[value] for value in values], dtype=np.int64)
    return Labelling(of, source, by_source)
