"""The UMAP of a dictionary, in a process of its own: it holds Python's lock for seconds at a time, which would stop the server.

    python -m monoseme.web.overview._umap ROWS.npy POINTS.npy

reads rows of length 1, [n, D] float32, and writes [n, 2] float32. Each line of its output says how far it is: `STAGE SHARE`.
It ends when its input ends, so that it does not outlive the server.
Source: McInnes, Healy and Melville 2018, arXiv:1802.03426. Neighbours are exact, by cosine; the same rows give the same map.
"""

import os
import sys
import threading
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS, APART, SEED = 15, 0.1, 0
_BLOCK = 1 << 24
"""Cosines held at a time, 64 MB."""


class Nearest(NamedTuple):
    """The nearest rows of each row, itself first."""

    row: NDArray[np.int64]
    """[n, k]"""
    distance: NDArray[np.float32]
    """[n, k] 1 - cosine."""


def nearest(rows: NDArray[np.float32], k: int) -> Nearest:
    """By cosine, exactly, a block of rows at a time."""
    n = len(rows)
    index, distance = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    step = max(1, _BLOCK // n)
    for start in range(0, n, step):
        cosines = rows[start : start + step] @ rows.T
        own = np.arange(len(cosines))
        cosines[own, start + own] = 2.0  # itself is first, whatever rounding says
        chosen = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(cosines, chosen, axis=1), axis=1, kind="stable")
        index[start : start + step] = found = np.take_along_axis(chosen, order, axis=1)
        distance[start : start + step] = np.clip(1 - np.take_along_axis(cosines, found, axis=1), 0, 2)
        _tell("neighbours", min(1.0, (start + step) / n))
    return Nearest(index, distance)


def points(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, 2], of at least four rows."""
    from umap.umap_ import UMAP

    k = min(NEIGHBOURS, len(rows) - 1)
    found = nearest(rows, k)
    _tell("placing", 0.0)
    # Without `force_approximation_algorithm` it would leave given neighbours aside for few rows and search anew.
    made = UMAP(
        n_neighbors=k,
        min_dist=APART,
        metric="cosine",
        precomputed_knn=(found.row, found.distance, None),
        force_approximation_algorithm=True,
        random_state=SEED,
        n_jobs=1,
        verbose=True,
        tqdm_kwds={"file": _Lines(), "bar_format": "{n}/{total};", "mininterval": 0.5, "leave": False},
    )
    return np.asarray(made.fit_transform(rows), dtype=np.float32)


class _Lines:
    """Takes its bar of progress and tells the last number in it."""

    def write(self, text: str) -> None:
        for part in text.split(";"):
            done, slash, total = part.strip().partition("/")
            if slash and done.isdigit() and total.isdigit() and int(total):
                _tell("placing", int(done) / int(total))

    def flush(self) -> None:
        sys.stderr.flush()


def _tell(stage: str, share: float) -> None:
    """A line to the server; standard output as it was, since `sys.stdout` is by then where UMAP's own sentences go."""
    if sys.__stdout__ is not None:
        sys.__stdout__.write(f"{stage} {share:.3f}\n")
        sys.__stdout__.flush()


def _end_with_parent() -> None:
    os.read(0, 1)  # not through sys.stdin, whose lock this thread would still hold when the process ends
    os._exit(1)


def main(rows: Path, written: Path) -> None:
    """Reads, maps, writes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore")  # it warns of what it was told on purpose
    sys.stdout = sys.stderr  # its `verbose` prints sentences
    np.save(written, points(np.load(rows, allow_pickle=False)), allow_pickle=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
