"""Maps of a dictionary: latents with similar decoder directions lie side by side.

PCA is there at once. UMAP takes seconds to minutes; it is made in the background and kept in RUN/cache/web, beside the run's
artifacts and never in them, or in a folder of this process where the run cannot be written to.
"""

import contextlib
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.web.overview._directions import Directions, DirectionsReader
from monoseme.web.overview._jobs import Asked, Jobs, Tell
from monoseme.web.run_files import RunFiles, UnavailableError

Method = Literal["umap", "pca"]
_LEAST = 10
"""Latents from which there is something to map."""
_LAYOUT = 1
"""Raised when maps are made otherwise, so that kept ones are made anew."""
_SILENCE_S = 0.5
_STAGES = {"neighbours": "finding the nearest latents", "placing": "placing the latents"}


class Layout(NamedTuple):
    """Where latents lie."""

    points: NDArray[np.float32]
    """[2, n_latents] x and y in [-1, 1]; NaN for a latent that is left out."""
    n_placed: int
    left_out: str
    """Why the others are not on the map."""


class MapReader:
    """The maps of one run."""

    def __init__(self, files: RunFiles) -> None:
        self._files, self._directions = files, files.page(DirectionsReader)
        # Of their own, so that PCA does not wait for UMAP.
        self._jobs: dict[Method, Jobs[Layout]] = {"umap": Jobs(), "pca": Jobs()}
        self._lock = threading.Lock()
        self._own_folder: tempfile.TemporaryDirectory[str] | None = None

    def place(self, key: str, method: Method) -> Asked[Layout]:
        """How far the map is, and the map once it is there. Raises NotFoundError."""
        return self._jobs[method].ask((key, self._directions.stamp(key)), lambda tell: self._make(key, method, tell))

    def _make(self, key: str, method: Method, tell: Tell) -> Layout:
        tell("reading the directions", None)
        found = self._directions.of(key)
        directions = found.directions
        if len(directions.rows) < _LEAST:
            raise UnavailableError(f"{key} has {len(directions.rows)} latents to map, and a map needs {_LEAST}")
        if method == "pca":
            return _placed(pca(directions.rows), directions)
        kept = f"umap-{_LAYOUT}-{found.hash[:24]}.npy"
        points = self._kept(kept, len(directions.rows))
        if points is None:
            points = _umap(directions.rows, tell)
            self._keep(kept, points)
        return _placed(points, directions)

    def _folders(self) -> Iterator[Path]:
        """Where maps may be kept, the first choice first."""
        yield self._files.folder.path / "cache" / "web"
        with self._lock:
            self._own_folder = self._own_folder or tempfile.TemporaryDirectory(prefix="monoseme-web-")
        yield Path(self._own_folder.name)

    def _kept(self, name: str, n: int) -> NDArray[np.float32] | None:
        """A map that was made before; None where there is none, or none that can be read."""
        for folder in self._folders():
            with contextlib.suppress(OSError, ValueError, EOFError):
                points = np.load(folder / name, allow_pickle=False)
                if points.shape == (n, 2) and points.dtype == np.float32:
                    return points
        return None

    def _keep(self, name: str, points: NDArray[np.float32]) -> None:
        from monoseme.core.errors import DiskFullError

        for folder in self._folders():
            with contextlib.suppress(OSError, DiskFullError):
                folder.mkdir(parents=True, exist_ok=True)
                part = folder / f".{name}.{threading.get_ident()}"
                with part.open("wb") as file:
                    np.save(file, points, allow_pickle=False)
                part.replace(folder / name)
                return


def pca(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, 2] along the two directions of most variance; their signs are chosen so that the largest weight is positive."""
    centred = rows - rows.mean(0, dtype=np.float64).astype(np.float32)
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    first = axes[:, ::-1][:, :2]
    signs = np.sign(first[np.abs(first).argmax(0), [0, 1]])
    return (centred @ (first * signs).astype(np.float32)).astype(np.float32)


def _placed(points: NDArray[np.float32], directions: Directions) -> Layout:
    """In [-1, 1] on both axes by one scale, so that distances keep their meaning."""
    low, high = points.min(0), points.max(0)
    half = float((high - low).max()) / 2 or 1.0
    placed = np.full((2, directions.n_latents), np.nan, np.float32)
    placed[:, directions.latents] = ((points - (low + high) / 2) / half).T
    return Layout(placed, len(points), directions.left_out)


def _umap(rows: NDArray[np.float32], tell: Tell) -> NDArray[np.float32]:
    """Raises UnavailableError where it cannot be made."""
    with tempfile.TemporaryDirectory(prefix="monoseme-map-") as name:
        given, made = Path(name) / "rows.npy", Path(name) / "points.npy"
        np.save(given, rows, allow_pickle=False)
        command = [sys.executable, "-m", "monoseme.web.overview._umap", str(given), str(made)]
        pipe = subprocess.PIPE
        # Its input is closed on the way out, which ends it if it still runs.
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
            for told in _said_by(process):
                tell(told.stage, told.share)
            code = process.wait()
        if code or not made.is_file():
            raise UnavailableError(f"UMAP ended with code {code}\n  The map by PCA is there.")
        return np.load(made, allow_pickle=False)


class _Told(NamedTuple):
    stage: str
    share: float | None


def _said_by(process: "subprocess.Popen[str]") -> Iterator[_Told]:
    """How far it is, at each of its lines, and again where it is silent for long."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_pass_on, args=(process, lines), daemon=True).start()
    told = _Told("starting UMAP", None)
    while True:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=_SILENCE_S)
            if not line:
                return
            stage, _, share = line.partition(" ")
            told = _Told(_STAGES[stage], float(share)) if stage in _STAGES else told
        yield told


def _pass_on(process: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str]") -> None:
    """Its lines, and an empty text at their end."""
    assert process.stdout is not None
    with contextlib.suppress(ValueError):  # closed meanwhile
        for line in process.stdout:
            lines.put(line)
    lines.put("")
