"""The way of a text through the space of codes, as points in three dimensions.

Source: TFA's demonstration, which maps predicted codes by UMAP with 15 neighbours, least distance 0.1, Euclidean, seed 42.
Letters: T tokens, F latents.
"""

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Method = Literal["umap", "pca"]
_NEIGHBOURS, _MIN_DIST, _SEED = 15, 0.1, 42
N_DIMENSIONS = 3


def trajectory(codes: NDArray[np.float64], method: Method) -> NDArray[np.float64] | None:
    """Points [T, 3] of codes [T, F]; None for texts of too few tokens, or codes without any change.

    PCA takes the largest principal components (its signs: the largest entry of each direction is positive). UMAP keeps
    neighbours; its axes have no meaning, and neither have distances between far points.
    """
    centred = codes - codes.mean(0)
    if len(codes) <= N_DIMENSIONS + 1 or np.abs(centred).max() <= 1e-12 * np.abs(codes).max(initial=0.0):
        return None
    return _pca(centred) if method == "pca" else _umap(codes)


def _pca(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    return (left * sizes * signs)[:, :N_DIMENSIONS]


def _umap(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        # It tells that one of its classes, not used here, needs Tensorflow.
        warnings.filterwarnings("ignore", category=ImportWarning, message="Tensorflow not installed")
        import umap  # its import takes seconds

    # One job: with a seed it uses no more, and says so in a warning when asked for more. The spectral start, its default, needs
    # more tokens than neighbours and dimensions together.
    mapped = umap.UMAP(
        n_components=N_DIMENSIONS,
        n_neighbors=min(_NEIGHBOURS, len(codes) - 1),
        min_dist=_MIN_DIST,
        metric="euclidean",
        random_state=_SEED,
        n_jobs=1,
        init="spectral" if len(codes) > 2 * _NEIGHBOURS else "pca",
    )
    return np.asarray(mapped.fit_transform(codes.astype(np.float32)), dtype=np.float64)
