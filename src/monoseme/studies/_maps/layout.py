"""Two-dimensional maps of rows from their nearest neighbours: t-SNE (scikit-learn) and UMAP (umap-learn), both from one search.

Source: van der Maaten and Hinton 2008; McInnes, Healy and Melville 2018, arXiv:1802.03426. Neighbours are exact; a map shows
who is near whom, not how far groups are apart.
"""

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from monoseme.studies._maps.neighbours import Neighbours

Method = Literal["tsne", "umap"]
NAMES = {"tsne": "t-SNE", "umap": "UMAP"}
_LEAST_ROWS = 10
_PERPLEXITY, _UMAP_NEIGHBOURS, _UMAP_APART = 30.0, 15, 0.1
"""t-SNE's default; UMAP's as the TFA demo sets them."""
_START_SPREAD = 1e-4
"""Of the first coordinate of t-SNE's start, as scikit-learn scales a start from PCA."""


def n_neighbours(n_rows: int) -> int:
    """Neighbours that both maps need of so many rows: t-SNE takes 3 perplexities and one."""
    return min(int(3 * _PERPLEXITY) + 1, n_rows - 1)


def lay_out(rows: Any, found: Neighbours, *, method: Method, seed: int) -> NDArray[np.float64] | None:
    """[N, 2] of sparse or dense rows with those neighbours, their mean in the middle and 1 the largest spread.

    Same seed, same map. None for fewer rows than make a map.
    """
    if len(found.row) < _LEAST_ROWS:
        return None
    points = _tsne(rows, found, seed=seed) if method == "tsne" else _umap(rows, found, seed=seed)
    centred = points.astype(np.float64) - points.mean(axis=0)
    return centred / (centred.std(axis=0).max() or 1.0)


def _tsne(rows: Any, found: Neighbours, *, seed: int) -> NDArray[Any]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.manifold import TSNE

    start = TruncatedSVD(2, random_state=seed).fit_transform(rows)
    start = start / (start[:, 0].std() or 1.0) * _START_SPREAD
    perplexity = min(_PERPLEXITY, (found.row.shape[1] - 1) / 3)
    given: Any = start.astype(np.float32)  # the stubs know the names of starts only
    made = TSNE(2, perplexity=perplexity, metric="precomputed", init=given, random_state=seed)
    return made.fit_transform(found.graph())


def _umap(rows: Any, found: Neighbours, *, seed: int) -> NDArray[Any]:
    # Slow to import, and so only here. It warns that TensorFlow, which nothing of this needs, is absent.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
        warnings.filterwarnings("ignore", message="precomputed_knn", category=UserWarning)
        warnings.filterwarnings("ignore", message="Graph is not fully connected", category=UserWarning)
        from umap.umap_ import UMAP

        k = min(_UMAP_NEIGHBOURS, found.row.shape[1])
        index = np.concatenate([np.arange(len(found.row))[:, None], found.row], axis=1)[:, :k]  # it counts the row itself
        distance = np.concatenate([np.zeros((len(found.row), 1)), found.distance], axis=1)[:, :k]
        # Without `force_approximation_algorithm` it would leave given neighbours aside for few rows and search anew.
        made = UMAP(
            n_neighbors=k,
            min_dist=_UMAP_APART,
            metric="cosine" if sparse.issparse(rows) else "euclidean",
            precomputed_knn=(index, distance.astype(np.float32), None),
            force_approximation_algorithm=True,
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(made.fit_transform(sparse.csr_matrix(rows) if sparse.issparse(rows) else rows))
