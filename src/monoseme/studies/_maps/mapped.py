"""One subject on its maps, with its measures. What takes long, the maps themselves, is kept in files."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.files import hash_bytes, write_atomic
from monoseme.studies._base import Row
from monoseme.studies._kept_files import reading
from monoseme.studies._maps.decoder import Directions
from monoseme.studies._maps.layout import Method, lay_out, n_neighbours
from monoseme.studies._maps.measures import Measure, Measuring, labelling_of, measures_of
from monoseme.studies._maps.neighbours import Neighbours, Space, nearest, unit_rows
from monoseme.studies._maps.quality import Labelling
from monoseme.studies._maps.tokens import MapTokens

CODES, TAGGED, DIRECTIONS = "codes", "tagged", "directions"
"""What is mapped: tokens of the text, of the tagged file, latents."""
_LABELS = {CODES: ("class", "document", "tag"), TAGGED: ("tag",)}


class Mapping2D(NamedTuple):
    """How maps are made."""

    methods: tuple[Method, ...]
    seed: int
    work: Path


class Mapped(NamedTuple):
    """One subject."""

    subject: str
    sample: str
    """`CODES`, `TAGGED` or `DIRECTIONS`."""
    kept: NDArray[np.int64]
    """[M] rows of the sample that have a place on the maps."""
    points: dict[Method, NDArray[np.float64]]
    """Method -> [M, 2]; none where there are too few rows."""
    measures: list[Measure]
    counted: Row
    """How many rows there were, and how many are left out."""

    def rows(self) -> list[Row]:
        """Every point on every map."""
        return [
            {"subject": self.subject, "sample": self.sample, "map": method, "row": int(row), "x": float(x), "y": float(y)}
            for method, points in self.points.items()
            for row, (x, y) in zip(self.kept, points, strict=True)
        ]


def map_codes(sample: str, subject: str, tokens: MapTokens, how: Mapping2D, measuring: Measuring) -> Mapped:
    """The codes of the tokens of a sample; empty codes have no place."""
    code = tokens.codes[subject]
    kept = np.flatnonzero(np.diff(code.indptr))
    counted: Row = {"subject": subject, "sample": sample, "n_tokens": code.shape[0], "n_empty": code.shape[0] - len(kept)}
    if len(kept) < 2:
        return Mapped(subject, sample, kept, {}, [], counted)
    rows = unit_rows(code[kept])
    points = _points(rows, how)
    labels = {
        name: labelling_of([tokens.labels[name][i] for i in kept], tokens.source[kept], by_source=name == "class")
        for name in _LABELS[sample]
        if name in tokens.labels
    }
    return Mapped(subject, sample, kept, points, _measures({CODES: rows, **points}, labels, measuring), counted)


def map_directions(sae: str, found: Directions, how: Mapping2D, measuring: Measuring) -> Mapped:
    """The decoder's directions of one SAE."""
    n = len(found.latent)
    counted: Row = {"subject": sae, "n_latents": n, "n_silent": found.n_silent}
    if n < 2:
        return Mapped(sae, DIRECTIONS, np.arange(n), {}, [], counted)
    labels = {} if found.group is None else {"part": labelling_of(found.group, np.arange(n), by_source=False)}
    points = _points(found.rows, how)
    return Mapped(
        sae, DIRECTIONS, np.arange(n), points, _measures({DIRECTIONS: found.rows, **points}, labels, measuring), counted
    )


def _measures(rows: dict[str, Any], labels: dict[str, Labelling], measuring: Measuring) -> list[Measure]:
    told = {name: labelling for name, labelling in labels.items() if labelling.n_classes > 1}
    return list(measures_of(rows, told, measuring))


def _points(rows: Any, how: Mapping2D) -> dict[Method, NDArray[np.float64]]:
    found = nearest(Space(rows), n_neighbours(rows.shape[0]))
    made: dict[Method, NDArray[np.float64]] = {}
    for method in how.methods:
        if (points := _kept(rows, found, method, how)) is not None:
            made[method] = points
    return made


def _kept(rows: Any, found: Neighbours, method: Method, how: Mapping2D) -> NDArray[np.float64] | None:
    """The map from its file, or made and written to it; the file is named by what the map is made from."""
    made_from: Sequence[NDArray[Any]] = (found.row, found.distance)
    name = hash_bytes(b"".join(np.ascontiguousarray(each).tobytes() for each in made_from)).removeprefix("sha256:")[:24]
    path = how.work / "maps" / f"{method}_{how.seed}_{name}.npy"
    if path.is_file():
        with reading(path):
            return np.load(path, allow_pickle=False)
    points = lay_out(rows, found, method=method, seed=how.seed)
    if points is not None:
        buffer = io.BytesIO()
        np.save(buffer, points)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, buffer.getvalue())
    return points
