"""Rows of text files: jsonl, json, csv, tsv, parquet, CoNLL-U and txt, plain or compressed.

A reader yields `Row`s and `BadRow`s in the order of the file and never stops at a broken row; who reads decides.
Lines end at b"\\n" only: `str.splitlines` would cut a row at U+0085 or U+2028, which real books contain.
"""

import bz2
import contextlib
import csv
import gzip
import io
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError, CorpusError
from monoseme.text.config import CorpusConfig
from monoseme.text.conllu import BadSentence, read_tagged_documents

_COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
_PIECE_CHARS = 1 << 20


class Row(NamedTuple):
    """One row: `number` is its line or row in the file, from 1. `own_source`: False if it is a piece of one long text."""

    file: str
    number: int
    fields: Mapping[str, Any]
    own_source: bool = True


class BadRow(NamedTuple):
    """A row that cannot be read, and why."""

    file: str
    number: int
    why: str


Reader = Callable[[BinaryIO, str, CorpusConfig], Iterator[Row | BadRow]]


def is_text_file(path: Path) -> bool:
    """Whether the ending of the file is one that `read_rows` knows."""
    return _format(path) in _READERS


def known_endings() -> str:
    """The endings that `read_rows` knows, for messages."""
    return f"{', '.join(_READERS)}, each also with {', '.join(_COMPRESSED)}"


def read_rows(path: Path, config: CorpusConfig, *, name: str) -> Iterator[Row | BadRow]:
    """The rows of one file; `name` is what the rows call it.

    Raises ConfigError for an ending we do not know, CorpusError if the file cannot be opened or is cut short.
    """
    reader = _READERS.get(_format(path))
    if reader is None:
        raise ConfigError(f"{path} has no known ending.\n  Allowed: {known_endings()}")
    try:
        with open_compressed(path) as stream:
            yield from reader(stream, name, config)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, _zstd_error()) as error:
        raise CorpusError(f"{path} cannot be read to its end: {error}") from error


def open_compressed(path: Path) -> BinaryIO:
    """The file's bytes, decompressed as its ending says."""
    if path.suffix == ".zst":
        import zstandard

        stream = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True, closefd=True)
        return cast(BinaryIO, io.BufferedReader(cast(Any, stream), buffer_size=1 << 18))
    openers: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    opener = openers.get(path.suffix)
    return cast(BinaryIO, opener(path) if opener else path.open("rb"))


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def _format(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _jsonl(stream: BinaryIO, name: str, config: CorpusConfig) -> Iterator[Row | BadRow]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield _json_line(line, name, number, config)


def _json_line(line: bytes, name: str, number: int, config: CorpusConfig) -> Row | BadRow:
    try:
        return _json_row(json.loads(line), name, number, config)
    except (ValueError, RecursionError) as error:
        return BadRow(name, number, f"not JSON: {error}")


def _json_row(value: Any, name: str, number: int, config: CorpusConfig) -> Row | BadRow:
    if isinstance(value, str):
        return Row(name, number, {config.field: value})
    if not isinstance(value, dict):
        return BadRow(name, number, f"holds {type(value).__name__}, not an object or a text")
    return Row(name, number, cast(dict[str, Any], value))


def _json(stream: BinaryIO, name: str, config: CorpusConfig) -> Iterator[Row | BadRow]:
    """A list of objects or texts; a file that begins with "{" holds JSON lines under another name."""
    buffered = io.BufferedReader(cast(Any, stream)) if not isinstance(stream, io.BufferedReader) else stream
    if buffered.peek(64).lstrip()[:1] != b"[":
        yield from _jsonl(cast(BinaryIO, buffered), name, config)
        return
    try:
        values = json.loads(buffered.read())
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{name} is not a JSON list: {error}") from error
    for number, value in enumerate(values, start=1):
        yield _json_row(value, name, number, config)


def _csv(stream: BinaryIO, name: str, config: CorpusConfig) -> Iterator[Row | BadRow]:
    yield from _delimited(stream, name, config, dialect=csv.excel)


class _Tsv(csv.excel_tab):
    # A tab-separated file has no quoting: an opening quotation mark in a text must not swallow the lines after it.
    quoting = csv.QUOTE_NONE


def _tsv(stream: BinaryIO, name: str, config: CorpusConfig) -> Iterator[Row | BadRow]:
    yield from _delimited(stream, name, config, dialect=_Tsv)


def _delimited(stream: BinaryIO, name: str, config: CorpusConfig, *, dialect: type[csv.Dialect]) -> Iterator[Row | BadRow]:
    with _long_fields(), _as_text(stream, errors="surrogateescape", newline="") as text:
        rows = csv.reader(text, dialect)
        columns = list(config.columns or next(rows, []))
        while True:
            try:
                values = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(name, rows.line_num, str(error))
                continue
            if len(values) == len(columns):
                yield Row(name, rows.line_num, dict(zip(columns, values, strict=True)))
            elif values:
                yield BadRow(name, rows.line_num, f"{len(values)} columns instead of {len(columns)}")


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """Texts longer than the 128 kB at which the csv module stops; its limit is one for the whole process."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parquet(stream: BinaryIO, name: str, config: CorpusConfig) -> Iterator[Row | BadRow]:
    import pyarrow
    import pyarrow.parquet

    try:
        # A parquet file is read from its end, so a compressed one has to be in memory.
        file = pyarrow.parquet.ParquetFile(stream if stream.seekable() else io.BytesIO(stream.read()))
        columns = wanted_columns(config, file.schema_arrow.names, where=name)
        number = 0
        for batch in file.iter_batches(batch_size=1024, columns=columns):
            for fields in batch.to_pylist():
                number += 1
                yield Row(name, number, fields)
    except pyarrow.ArrowException as error:
        raise CorpusError(f"{name} is not a sound parquet file: {error}") from error


def wanted_columns(config: CorpusConfig, present: list[str], *, where: str) -> list[str]:
    """The columns to read. Raises ConfigError, with a suggestion, for one that the table does not have."""
    group = [] if config.group_field is None else [config.group_field]
    wanted: list[str] = list(dict.fromkeys([config.field, *group, *config.label_fields]))
    for column in wanted:
        if column not in present:
            raise ConfigError(f'{where} has no column "{column}".{suggest(column, present)}\n  Columns: {", ".join(present)}')
    return wanted


def _conllu(stream: BinaryIO, name: str, config: CorpusConfig) -> Iterator[Row | BadRow]:
    """A document, or a sentence where none are marked, with its comments as fields; `document` is its id."""
    for found in read_tagged_documents(stream):
        if isinstance(found, BadSentence):
            yield BadRow(name, found.line, found.why)
        else:
            yield Row(name, found.line, {**found.comments, "document": found.name, config.field: found.text})


def _txt(stream: BinaryIO, name: str, config: CorpusConfig) -> Iterator[Row | BadRow]:
    number = 0
    with _as_text(stream, errors="strict", newline=None) as text:
        pieces = _separated(text, config.separator) if config.separator else _in_pieces(text)
        try:
            for number, piece in enumerate(pieces, start=1):
                yield Row(name, number, {config.field: piece}, own_source=config.separator is not None)
        except UnicodeDecodeError as error:
            yield BadRow(name, number + 1, f"not UTF-8, the rest of the file is left out: {error}")


@contextlib.contextmanager
def _as_text(stream: BinaryIO, *, errors: str, newline: str | None) -> Iterator[io.TextIOWrapper]:
    """The bytes as UTF-8 text. The stream stays open: a wrapper left to itself closes it when it is collected."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors=errors, newline=newline)
    try:
        yield text
    finally:
        text.detach()


def _separated(text: io.TextIOWrapper, separator: str) -> Iterator[str]:
    rest = ""
    while chunk := text.read(_PIECE_CHARS):
        *whole, rest = (rest + chunk).split(separator)
        yield from whole
    yield rest


def _in_pieces(text: io.TextIOWrapper) -> Iterator[str]:
    """Pieces of about a million characters, cut after a line, so that a file of any size is read in bounded memory."""
    rest = ""
    while chunk := text.read(_PIECE_CHARS):
        rest += chunk
        cut = rest.rfind("\n") + 1 or len(rest)
        if len(rest) >= _PIECE_CHARS:
            yield rest[:cut]
            rest = rest[cut:]
    yield rest


_READERS: dict[str, Reader] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".conllu": _conllu,
    ".txt": _txt,
}
