"""Safetensors files of any size: written once from front to back, read by their header.

The header comes first and says every shape, so that what follows can be written as it is made, to a file or an address that
knows no seeking, with its checksum computed on the way. Such files open in `safetensors.safe_open`. The body begins at a multiple
of 64 bytes. Readers ask `read_header(folder, name)` where each tensor lies and map or fetch those bytes.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch

from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.folder import Folder
from monoseme.tensors.shapes import Tensor

_NAMES: dict[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.uint32: "U32",
    torch.bool: "BOOL",
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}
_ALIGNMENT = 64
_MOST_HEADER_BYTES = 1 << 20
"""Ours have a few hundred, those of SAEs some thousand: what claims more is not read into memory to find out."""


class TensorPlace(NamedTuple):
    """Where a tensor lies in a file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    """First byte, counted from the start of the file; only the first tensor's is sure to be a multiple of its item size."""
    stop: int
    """One past its last byte."""


class TensorSpec(NamedTuple):
    """A tensor that is going to be written."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Of the whole tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


@runtime_checkable
class Sink(Protocol):
    """What a file is written to; how much it took is of no interest."""

    def write(self, data: Any, /) -> Any:
        """Takes all of it."""
        ...


class FileFacts(NamedTuple):
    """What a shard's record says of a file."""

    hash: str
    """`sha256:` and hexadecimal digits."""
    bytes: int


class ShardFile:
    """A file while it is written: hand over the tensors' values in the order of the header, in pieces of any size."""

    def __init__(self, out: Sink, tensors: Mapping[str, TensorSpec]) -> None:
        """Writes the header."""
        self._out = out
        self._digest = hashlib.sha256()
        self._written = 0
        header = _header(tensors)
        self._promised = len(header) + sum(spec.n_bytes for spec in tensors.values())
        self._put(header)

    def write(self, values: Tensor) -> None:
        """The next values, of the type that the header promises for them; on any device."""
        self._put(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def finish(self) -> FileFacts:
        """The checksum and size. Raises RuntimeError when the values were not as many as promised: a fault of the caller."""
        if self._written != self._promised:
            raise RuntimeError(f"{self._written:,} bytes were written where the header promises {self._promised:,}")
        return FileFacts(f"sha256:{self._digest.hexdigest()}", self._written)

    def _put(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._out.write(data)
        self._written += len(data)


@contextlib.contextmanager
def create_file(folder: Folder, name: str, tensors: Mapping[str, TensorSpec]) -> Iterator[ShardFile]:
    """A new file of a folder; whole when the body is done, absent when it raises. Raises DiskFullError."""
    with folder.create(name) as out:
        yield ShardFile(out, tensors)


def write_tensors(folder: Folder, name: str, tensors: Mapping[str, Tensor]) -> FileFacts:
    """A whole file of tensors that are there already. Raises DiskFullError."""
    with create_file(folder, name, _specs(tensors)) as file:
        for value in tensors.values():
            file.write(value)
        return file.finish()


def facts_of(tensors: Mapping[str, Tensor]) -> FileFacts:
    """The checksum and size of the file that `write_tensors` would make; nothing is written."""
    file = ShardFile(_Nowhere(), _specs(tensors))
    for value in tensors.values():
        file.write(value)
    return file.finish()


def file_bytes(tensors: Mapping[str, TensorSpec]) -> int:
    """Bytes of a file of such tensors, header included."""
    return len(_header(tensors)) + sum(spec.n_bytes for spec in tensors.values())


def read_header(folder: Folder, name: str) -> dict[str, TensorPlace]:
    """Where each tensor of a file lies, by name; nothing else of it is read.

    The file is not trusted. Raises ArtifactDamagedError when it is missing, when its header is not one of safetensors or is
    longer than 1 MiB, and for a tensor whose shape, type and bytes do not agree or do not lie within the file.
    """
    where = f"{folder}/{name}"
    size = folder.size(name)
    if size is None:
        raise ArtifactDamagedError(f"{where} is missing")
    if size < 8:
        raise ArtifactDamagedError(f"{where} has {size} bytes: too few for a header")
    length = int.from_bytes(folder.read(name, 0, 8), "little")
    if length > min(_MOST_HEADER_BYTES, size - 8):
        raise ArtifactDamagedError(f"{where} claims a header of {length:,} bytes in a file of {size:,}")
    try:
        header = json.loads(folder.read(name, 8, 8 + length))
    except (ValueError, RecursionError) as error:
        raise ArtifactDamagedError(f"{where} has no readable header: {error}") from error
    if not isinstance(header, dict):
        raise ArtifactDamagedError(f"{where} has no table as its header")
    tensors = cast(dict[str, Any], header)
    return {key: _place(value, 8 + length, size, f"{where}: {key!r}") for key, value in tensors.items() if key != "__metadata__"}


def require_tensors(found: Mapping[str, TensorPlace], wanted: Mapping[str, TensorSpec], *, where: str) -> None:
    """Raises ArtifactDamagedError for the first tensor that is absent or of another type or shape; others may be there too."""
    for name, spec in wanted.items():
        place = found.get(name)
        if place is None:
            raise ArtifactDamagedError(f"{where} has no tensor {name}")
        if (place.dtype, place.shape) != spec:
            raise ArtifactDamagedError(
                f"{where} has {name} of shape {list(place.shape)} in {place.dtype} instead of {list(spec.shape)} in {spec.dtype}"
            )


def read_tensors(folder: Folder, name: str) -> dict[str, Tensor]:
    """All tensors of a small file, in memory of their own. Raises ArtifactDamagedError."""
    return {key: read_tensor(folder, name, place) for key, place in read_header(folder, name).items()}


def read_tensor(folder: Folder, name: str, place: TensorPlace) -> Tensor:
    """One tensor of a file, in memory of its own. Raises ArtifactDamagedError where the file is shorter by now."""
    data = bytearray(folder.read(name, place.start, place.stop))
    if not data:
        return torch.empty(place.shape, dtype=place.dtype)
    return torch.frombuffer(data, dtype=torch.uint8).view(place.dtype).reshape(place.shape)


class _Nowhere:
    def write(self, data: Any, /) -> None:
        del data


def _specs(tensors: Mapping[str, Tensor]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(value.dtype, tuple(value.shape)) for name, value in tensors.items()}


def _header(tensors: Mapping[str, TensorSpec]) -> bytes:
    entries: dict[str, Any] = {}
    start = 0
    for name, spec in tensors.items():
        stop = start + spec.n_bytes
        entries[name] = {"dtype": _NAMES[spec.dtype], "shape": list(spec.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _place(entry: Any, body: int, size: int, what: str) -> TensorPlace:
    """A tensor's entry in the header, checked."""
    try:
        dtype, shape, (start, stop) = _DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactDamagedError(f"{what} has no type, shape and offsets that are known") from error
    if not isinstance(shape, list) or not all(_is_count(n) for n in [*cast(list[Any], shape), start, stop]):
        raise ArtifactDamagedError(f"{what} has a shape or offsets that are not counts")
    sizes = cast(list[int], shape)
    if stop - start != math.prod(sizes) * dtype.itemsize or body + stop > size:
        raise ArtifactDamagedError(
            f"{what} claims the bytes {start:,} to {stop:,} for {sizes} of {entry['dtype']} in a body of {size - body:,} bytes"
        )
    return TensorPlace(dtype, tuple(sizes), body + start, body + stop)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
