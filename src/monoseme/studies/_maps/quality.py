"""How well a labelling shows in a space: silhouette and purity of neighbours, against labels that were shuffled.

Tokens of one source resemble each other whatever they are labelled with: for a label that whole sources have (a class), other
tokens of the own source are left out, and labels are shuffled over sources.

Letters: N tokens, C classes, S shuffles, k neighbours. Source of the silhouette: Rousseeuw 1987.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from monoseme.core.seeds import derive_seed
from monoseme.evaluation._csr import Csr
from monoseme.studies._maps.neighbours import Space, nearest


class Labelling(NamedTuple):
    """What each token is labelled with."""

    of: NDArray[np.int64]
    """[N] class of each token; -1 for a token without one."""
    source: NDArray[np.int64]
    """[N] what is resampled, and, for a class, left out."""
    by_source: bool
    """Whether all tokens of a source have one label."""

    @property
    def n_classes(self) -> int:
        """C."""
        return int(self.of.max(initial=-1)) + 1

    def shuffled(self, n: int, *, seed: int) -> NDArray[np.int64]:
        """[n, N] labels over other sources, or over other tokens; tokens without a label stay without."""
        rng = np.random.default_rng(derive_seed(seed, "shuffled labels"))
        made = np.tile(self.of, (n, 1))
        if not self.by_source:
            known = np.flatnonzero(self.of >= 0)
            for row in made:
                row[known] = rng.permutation(self.of[known])
            return made
        _, first, number = np.unique(self.source, return_index=True, return_inverse=True)
        known = np.flatnonzero(self.of[first] >= 0)
        for row in made:
            label = self.of[first].copy()
            label[known] = rng.permutation(label[known])
            row[:] = label[number]
        return made


class Scores(NamedTuple):
    """One measure of every token, under the labels as they are and shuffled."""

    of_token: NDArray[np.float64]
    """[N]; NaN where it cannot be told."""
    shuffled: NDArray[np.float64]
    """[S] mean over tokens."""


def purity(space: Space, labelling: Labelling, shuffled: NDArray[np.int64], *, k: int) -> Scores:
    """Share of a token's k nearest neighbours that have its label; those without any label do not count."""
    found = nearest(space, k, apart=labelling.source if labelling.by_source else None)
    usable = np.isfinite(found.distance)
    scores = [_share(found.row, usable, labels) for labels in (labelling.of, *shuffled)]
    return Scores(scores[0], np.array([_mean(each) for each in scores[1:]]))


def _share(index: NDArray[np.int64], usable: NDArray[np.bool_], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    theirs = np.where(usable, labels[index], -1)
    n_known = (theirs >= 0).sum(1)
    same = ((theirs == labels[:, None]) & (theirs >= 0)).sum(1)
    return np.where((labels >= 0) & (n_known > 0), same / np.maximum(n_known, 1), np.nan)


def silhouette(space: Space, labelling: Labelling, shuffled: NDArray[np.int64]) -> Scores:
    """(b - a) / max(a, b): a the mean distance to the own class, b to the nearest other one.

    NaN for a token that is alone in its class, or whose class is only of its own source.
    """
    every = np.stack([labelling.of, *shuffled])
    members, counts = _members(every, labelling.n_classes)
    found = np.full(every.shape, np.nan)
    apart = labelling.source if labelling.by_source else np.arange(len(labelling.of))
    for rows, distances in space.slices():
        sums = (members @ distances.T).T.reshape(len(distances), len(every), -1)
        own = apart[rows, None] == apart
        own_sums, own_counts = (distances * own).sum(1), own.sum(1)
        for s, labels in enumerate(every):
            found[s, rows] = _silhouettes(sums[:, s], counts[s], labels[rows], own_sums, own_counts)
    return Scores(found[0], np.array([_mean(each) for each in found[1:]]))


def _members(labels: NDArray[np.int64], n_classes: int) -> tuple[Csr, NDArray[np.float64]]:
    """[S C, N], 1 where a token has that label in that shuffle, and the sizes [S, C]. Sparse: documents are many classes."""
    shuffle, token = np.nonzero(labels >= 0)
    rows = shuffle * n_classes + labels[shuffle, token]
    shape = (len(labels) * n_classes, labels.shape[1])
    members = sparse.csr_array((np.ones(len(rows)), (rows, token)), shape=shape)
    return members, np.bincount(rows, minlength=shape[0]).reshape(len(labels), n_classes).astype(np.float64)


def _silhouettes(
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
    labels: NDArray[np.int64],
    own_sums: NDArray[np.float64],
    own_counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Of n tokens, from the sums [n, C] of their distances to each class; `own_*`: what of their own class does not count."""
    rows = np.arange(len(labels))
    known = np.maximum(labels, 0)
    n_same = counts[known] - own_counts
    within = np.divide(sums[rows, known] - own_sums, n_same, out=np.full(len(labels), np.nan), where=n_same > 0)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.inf), where=counts > 0)
    means[rows, known] = np.inf
    other = means.min(axis=1, initial=np.inf)
    largest = np.maximum(within, other)
    usable = (labels >= 0) & np.isfinite(within) & np.isfinite(other)
    made = np.divide(other - within, largest, out=np.zeros(len(labels)), where=usable & (largest > 0))
    return np.where(usable, made, np.nan)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
