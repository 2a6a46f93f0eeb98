"""Writes rows and texts of exports as they come, in drafts that the export makes whole."""

import gzip
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def json_line(value: Any) -> bytes:
    """One line of JSON, without NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows as JSON lines, gzipped where the name ends in .gz; the same rows are the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if path.suffix != ".gz":
            file.writelines(json_line(row) for row in rows)
            return
        # without a name and with a fixed time, gzip writes nothing that differs between two runs
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=5, mtime=0) as packed:
            packed.writelines(json_line(row) for row in rows)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one shorter."""
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def details_text(details: Mapping[str, Any]) -> str:
    """What else was said of a latent, as the JSON object that an explanation keeps."""
    return json.dumps(dict(details), ensure_ascii=False, allow_nan=False, sort_keys=True)
