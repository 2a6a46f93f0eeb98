"""Reads files that others wrote: bounded in size, of the expected shape, and never run."""

import gzip
import json
import math
import re
import reprlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import yaml

from monoseme.core.clean import clean_text
from monoseme.core.errors import ForeignError

T = TypeVar("T")
MOST_BYTES = 1 << 30
"""A file that is read at once may be this large."""
MOST_LINE_BYTES = 1 << 26
"""A row of a JSON-lines file may be this long."""
MOST_CHARACTERS = 20_000
"""Texts are cut at this length: an explanation is a sentence or a page, not a book."""
_MOST_LATENT = 2**31 - 1
_MOST_WHOLE = 10**308
"""Whole numbers of YAML and JSON have no bound, floats have."""
_MOST_DEPTH = 50
"""Tables and lists of a YAML file may be nested this deep: its parser takes time by the square of the depth."""
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is not built everywhere


def read_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file. Raises ForeignError where there is none, a larger one, or a pipe or device, which may never end."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ForeignError(f"{path} is no ordinary file")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ForeignError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise ForeignError(f"{path} is larger than {most:,} bytes, the most that is read of such a file")
    return content


def parse_json(content: bytes, *, where: str) -> Any:
    """JSON with finite numbers. Raises ForeignError for anything else."""
    try:
        return json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ForeignError(f"{where} is not valid JSON ({error})") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    return as_object(parse_json(read_bytes(path), where=str(path)), where=str(path))


def read_yaml(path: Path) -> Any:
    """The YAML in a file: plain values only; tags that make objects are refused. Raises ForeignError."""
    try:
        return yaml.load(read_bytes(path), Loader=_PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ForeignError(f"{path} is not valid YAML ({str(error)[:200]})") from error


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file, gzipped or not, one after the other. Raises ForeignError."""
    opened: Callable[[Path], BinaryIO] = _open_gzip if path.suffix == ".gz" else _open_plain
    number = 0
    try:
        with opened(path) as file:
            while line := file.readline(MOST_LINE_BYTES + 1):
                number += 1
                if len(line) > MOST_LINE_BYTES:
                    raise ForeignError(f"line {number} of {path} is longer than {MOST_LINE_BYTES:,} bytes")
                if line.strip():
                    where = f"line {number} of {path}"
                    yield as_object(parse_json(line, where=where), where=where)
    except (OSError, EOFError, zlib.error) as error:
        raise ForeignError(f"{path} cannot be read after line {number} ({error})") from error


def numbered(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder whose whole names match a pattern with one group of digits, in the order of that number."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := re.fullmatch(pattern, path.name)) and path.is_file()]
    return [path for _, path in sorted(((int(match[1]), path) for match, path in found), key=lambda pair: pair[0])]


def as_object(value: Any, *, where: str) -> dict[str, Any]:
    """`value` if it is a table with names for keys. Raises ForeignError."""
    if not isinstance(value, dict):
        raise ForeignError(f"{where} should be a table, but is {_kind(value)}")
    return value


def as_list(value: Any, *, where: str) -> list[Any]:
    """`value` if it is a list. Raises ForeignError."""
    if not isinstance(value, list):
        raise ForeignError(f"{where} should be a list, but is {_kind(value)}")
    return value


def as_latent(value: Any, *, where: str) -> int:
    """A latent's number, which may be written as text. Raises ForeignError."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_LATENT:
        raise ForeignError(f"{where} names no latent: {_shown(value)}")
    return value


def as_text(value: Any, *, where: str) -> str:
    """A text, cut at MOST_CHARACTERS. Raises ForeignError."""
    if not isinstance(value, str):
        raise ForeignError(f"{where} should be text, but is {_kind(value)}")
    return clean_text(value[:MOST_CHARACTERS])


def as_number(value: Any, *, where: str) -> float:
    """A finite number. Raises ForeignError."""
    if isinstance(value, int) and abs(value) > _MOST_WHOLE:
        raise ForeignError(f"{where} should be a number, but is larger than any float")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ForeignError(f"{where} should be a number, but is {_kind(value)}")
    return float(value)


def as_numbers(value: Any, *, where: str) -> tuple[float, ...]:
    """A list of finite numbers. Raises ForeignError."""
    return tuple(as_number(item, where=where) for item in as_list(value, where=where))


def as_texts(value: Any, *, where: str) -> tuple[str, ...]:
    """A list of texts. Raises ForeignError."""
    return tuple(as_text(item, where=where) for item in as_list(value, where=where))


def _open_plain(path: Path) -> BinaryIO:
    return path.open("rb")


def _open_gzip(path: Path) -> BinaryIO:
    return gzip.open(path, "rb")  # pyright: ignore[reportReturnType] - a GzipFile reads as a binary file does


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    found = float(text)
    if math.isinf(found):  # 1e400 is JSON, but no number that could be written as JSON again
        raise ValueError(f"{text[:20]} is larger than any float")
    return found


def _kind(value: Any) -> str:
    return "missing" if value is None else f"{type(value).__name__} {_shown(value)}"


def _shown(value: Any) -> str:
    """Its beginning. What holds others is not written out: a small file can say a list of lists without end by their names."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "that is too large"
    return repr((value if isinstance(value, str) else reprlib.repr(value))[:60])


class _PlainLoader(_YamlLoader):
    """Plain values that take no more room and time than their text lets one think."""

    _depth = 0

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Called at every node on the way down."""
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise yaml.YAMLError(f"nested more than {_MOST_DEPTH} deep")
        super().descend_resolver(current_node, current_index)

    def ascend_resolver(self) -> None:
        """Called at every node on the way up."""
        self._depth -= 1
        super().ascend_resolver()

    def flatten_mapping(self, node: Any) -> None:
        """Refuses `<<`, by which ten short lines make a table of a thousand million rows."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("tables that are merged into others (<<) are not read")
        super().flatten_mapping(node)
