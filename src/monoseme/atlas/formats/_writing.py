"""Writes rows and texts of exports as they come, in drafts that the export makes whole."""

import contextlib
import gzip
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def json_line(value: Any) -> bytes:
    """One line of JSON, without NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


@contextlib.contextmanager
def row_file(path: Path) -> Iterator[Callable[[Mapping[str, Any]], object]]:
    """Makes a file of JSON lines and gives what writes a row; gzipped where the name ends in .gz.

    The same rows are the same bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if path.suffix != ".gz":
            yield lambda row: file.write(json_line(row))
            return
        # without a name and with a fixed time, gzip writes nothing that differs between two runs
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=5, mtime=0) as packed:
            yield lambda row: packed.write(json_line(row))


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows as JSON lines, as `row_file` writes them."""
    with row_file(path) as put:
        for row in rows:
            put(row)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one shorter."""
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def details_text(details: Mapping[str, Any]) -> str:
    """What else was said of a latent, as the JSON object that an explanation keeps."""
    return json.dumps(dict(details), ensure_ascii=False, allow_nan=False, sort_keys=True)
