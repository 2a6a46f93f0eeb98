"""MLSAE's examples (SQLite and dataset rows) and distributions over layers, of all layers of one SAE.

    examples.db              table examples: id, latent, layer, token_id, token, act, and token_ids, tokens, acts as JSON
    examples/train.parquet   the same rows, as its dataset on the hub has them
    dists.safetensors        counts and totals float32 [L, F]
    dists/train.parquet      a row for each latent, see `_mlsae_dists.py`

A layer is the number of a site among those of the SAE, from 0, as MLSAE has it; the window is the 4 tokens before and the 4 from
the example on. Windows of ours end with the document and the context, where MLSAE's run into the next.

Who writes and reads it: mlsae (`mlsae/analysis/examples.py`, `dists.py`); datasets `tim-lawson/mlsae-...-examples`, `-dists`.
"""

import functools
import itertools
import json
import sqlite3
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from monoseme.atlas.formats._base import AtlasFormat
from monoseme.atlas.formats._dashboard import shortened
from monoseme.atlas.formats._mlsae_dists import ROW_TYPES, LayerDists
from monoseme.atlas.formats._notes import NotedExample, Notes
from monoseme.atlas.formats._part import ExportPart
from monoseme.atlas.formats._writing import batched
from monoseme.atlas.pages import Example
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.files import open_to_readers
from monoseme.core.foreign import (
    MOST_LINE_BYTES,
    as_latent,
    as_list,
    as_numbers,
    as_object,
    as_texts,
    parse_json,
)

_COLUMNS = ("latent", "layer", "token_id", "token", "act", "token_ids", "tokens", "acts")
_EXAMPLE_TYPES = pa.schema(
    [
        ("id", pa.int64()),
        ("latent", pa.int64()),
        ("layer", pa.int64()),
        ("token_id", pa.int64()),
        ("token", pa.string()),
        ("act", pa.float64()),
        *((name, pa.string()) for name in ("token_ids", "tokens", "acts")),
    ]
)
_CREATE = (
    "CREATE TABLE examples (id INTEGER PRIMARY KEY, latent INTEGER, layer INTEGER, token_id INTEGER, token TEXT, "
    "act REAL, token_ids JSON, tokens JSON, acts JSON)"
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM examples ORDER BY latent, layer, act DESC"
_ROWS_PER_GROUP = 8192
_N_SIDE = 4
_EXAMPLES, _DISTS, _TABLE = "examples.db", "dists.safetensors", "train.parquet"


class Mlsae(AtlasFormat):
    """Examples of each latent and layer, and how latents spread over layers."""

    looks_for: ClassVar[str] = f"{_EXAMPLES}, or examples/{_TABLE}"
    several_sites: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(AtlasFormat.Config):
        """How many examples."""

        n_examples: int = 32
        """Strongest examples of a latent at a layer, at most (count); no more than the scan kept."""

        def __post_init__(self) -> None:
            if self.n_examples < 1:
                raise ConfigError(f"n_examples is {self.n_examples}, but must be at least 1.")

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.config = config or self.Config()

    def recognises(self, path: Path) -> bool:
        """By the names of the examples."""
        return _database(path) is not None or _dataset(path) is not None

    def write(self, parts: Sequence[ExportPart], folder: Path) -> tuple[str, ...]:
        """Rows go to both files as they come. Raises ConfigError for parts of SAEs that differ in size."""
        if len({part.latents.n_latents for part in parts}) > 1:
            raise ConfigError("MLSAE's files are about one SAE: all of its layers have the same latents.")
        self._write_examples(parts, folder)
        dists = _dists(parts)
        save_file(dists._asdict(), folder / _DISTS)
        open_to_readers(folder / _DISTS)
        (folder / "dists").mkdir()
        with pq.ParquetWriter(folder / "dists" / _TABLE, ROW_TYPES, compression="zstd") as writer:
            for batch in batched(dists.rows(), _ROWS_PER_GROUP):
                writer.write_table(pa.Table.from_pylist(batch, schema=ROW_TYPES))
        layers = [part.site.layer for part in parts]
        lost = ["explanations and scores: MLSAE has no place for them"]
        if layers != list(range(len(layers))):
            lost.append(f"the numbers of the layers: {', '.join(map(str, layers))} are 0 to {len(layers) - 1} there")
        return tuple(lost)

    def read(self, path: Path) -> Notes:
        """The examples, with their layer; `_mlsae_dists.read_dists` reads distributions."""
        database, dataset = _database(path), _dataset(path)
        if database is not None:
            _check(database)
            return Notes(examples=functools.partial(_from_database, database), lost=_left_behind(path))
        if dataset is None:
            raise ForeignError(f"{path} holds no {self.looks_for}")
        return Notes(examples=functools.partial(_from_dataset, dataset), lost=_left_behind(path))

    def _write_examples(self, parts: Sequence[ExportPart], folder: Path) -> None:
        (folder / "examples").mkdir()
        ids = itertools.count(1)
        connection = sqlite3.connect(folder / _EXAMPLES)
        try:
            connection.execute("PRAGMA journal_mode = OFF")  # a draft: it is whole when the export is
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_CREATE)
            put = f"INSERT INTO examples VALUES ({', '.join('?' * len(_EXAMPLE_TYPES))})"
            with pq.ParquetWriter(folder / "examples" / _TABLE, _EXAMPLE_TYPES, compression="zstd") as writer:
                for batch in batched(self._rows(parts), _ROWS_PER_GROUP):
                    numbered = [(next(ids), *row) for row in batch]
                    connection.executemany(put, numbered)
                    columns = [
                        pa.array(column, kind)
                        for column, kind in zip(zip(*numbered, strict=True), _EXAMPLE_TYPES.types, strict=True)
                    ]
                    writer.write_table(pa.Table.from_arrays(columns, schema=_EXAMPLE_TYPES))
            connection.execute("CREATE INDEX by_latent ON examples (latent, layer)")
            connection.commit()
        finally:
            connection.close()

    def _rows(self, parts: Sequence[ExportPart]) -> Iterator[tuple[Any, ...]]:
        for layer, part in enumerate(parts):
            for page in part.pages(part.firing):
                for example in page.top[: self.config.n_examples]:
                    yield _row(example, page.latent, layer)


def _row(example: Example, latent: int, layer: int) -> tuple[Any, ...]:
    focus = example.focus
    shown = slice(max(0, focus - _N_SIDE), focus + _N_SIDE)
    values = shortened([value or 0.0 for value in example.values[shown]])
    lists = (list(example.tokens[shown]), list(example.texts[shown]), values)
    token = (example.tokens[focus], example.texts[focus], example.value)
    return (latent, layer, *token, *(json.dumps(items) for items in lists))


def _dists(parts: Sequence[ExportPart]) -> LayerDists:
    """Counts and sums of the firings of the chosen latents; the others have none."""
    shape = (len(parts), parts[0].latents.n_latents)
    counts, totals = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for layer, part in enumerate(parts):
        chosen = np.array(part.numbers, dtype=np.int64)
        n_fired = np.array(part.latents.column("n_fired"), dtype=np.float64)[chosen]
        means = np.array([mean or 0.0 for mean in part.latents.column("mean")], dtype=np.float64)[chosen]
        counts[layer, chosen], totals[layer, chosen] = n_fired, n_fired * means
    return LayerDists(counts, totals)


def _database(path: Path) -> Path | None:
    found = path / _EXAMPLES if path.is_dir() else path
    return found if found.is_file() and found.suffix == ".db" else None


def _dataset(path: Path) -> Path | None:
    found = path / "examples" / _TABLE if path.is_dir() else path
    return found if found.is_file() and found.suffix == ".parquet" else None


def _left_behind(path: Path) -> tuple[str, ...]:
    held = path.is_dir() and (path / _DISTS).is_file()
    return (f"{_DISTS}: an atlas of all layers has the counts and means it is made of",) if held else ()


def _open(path: Path) -> sqlite3.Connection:
    """Read-only; nothing that the file defines may run functions, and no value is larger than a row should be."""
    connection = sqlite3.connect(f"file:{urllib.parse.quote(str(path.resolve()))}?mode=ro&immutable=1", uri=True)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_LINE_BYTES)
    return connection


def _check(path: Path) -> None:
    """Raises ForeignError unless there is a table of examples with MLSAE's columns."""
    try:
        connection = _open(path)
        try:
            kinds = connection.execute("SELECT type FROM sqlite_master WHERE name = 'examples'").fetchall()
            held = {row[1] for row in connection.execute("PRAGMA table_info(examples)")}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ForeignError(f"{path} cannot be read as SQLite ({error})") from error
    if kinds != [("table",)] or not set(_COLUMNS) <= held:
        raise ForeignError(f"{path} has no table examples with the columns {', '.join(_COLUMNS)}")


def _from_database(path: Path) -> Iterator[NotedExample]:
    try:
        connection = _open(path)
        try:
            for row in connection.execute(_SELECT):
                yield _noted(dict(zip(_COLUMNS, row, strict=True)), where=f"a row of {path}")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ForeignError(f"{path} cannot be read as SQLite ({error})") from error


def _from_dataset(path: Path) -> Iterator[NotedExample]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_PER_GROUP, columns=list(_COLUMNS)):
                for row in batch.to_pylist():
                    yield _noted(as_object(row, where=f"a row of {path}"), where=f"a row of {path}")
    except (OSError, pa.ArrowException) as error:
        raise ForeignError(f"{path} cannot be read as Parquet ({error})") from error


def _noted(row: dict[str, Any], *, where: str) -> NotedExample:
    lists = {name: as_list(_json(row[name], where=f"{name} of {where}"), where=where) for name in ("token_ids", "tokens", "acts")}
    texts, values = as_texts(lists["tokens"], where=where), as_numbers(lists["acts"], where=where)
    ids = tuple(as_latent(item, where=f"token_ids of {where}") for item in lists["token_ids"])
    if not len(texts) == len(values) == len(ids):
        raise ForeignError(f"{where} has {len(ids)} token ids, {len(texts)} tokens and {len(values)} activations")
    layer = as_latent(row["layer"], where=f"layer of {where}")
    latent = as_latent(row["latent"], where=f"latent of {where}")
    return NotedExample(latent=latent, layer=layer, texts=texts, values=values, tokens=ids, group="top")


def _json(value: Any, *, where: str) -> Any:
    if not isinstance(value, str):
        raise ForeignError(f"{where} should be JSON, but is {type(value).__name__}")
    return parse_json(value.encode(errors="replace"), where=where)
