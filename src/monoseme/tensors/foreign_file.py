"""Tensors from files of other tools: `torch.save` without pickled code, or safetensors; anything else is refused.

`torch.save` writes a zip whose tensors are raw bytes and whose directory is a small pickle; before torch 1.6, a sequence of
pickles. Both load with `weights_only=True`, which knows tensors and containers and runs nothing. A file that `pickle.dump` wrote,
or one that holds other classes, can run any program while it is loaded: it is never loaded here.
"""

import pickle
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from monoseme.core.errors import ArtifactError, ForeignError
from monoseme.core.files import typed
from monoseme.core.folder import LocalFolder
from monoseme.tensors.shapes import Tensor
from monoseme.tensors.tensor_file import TensorPlace, read_header

_ZIP = b"PK\x03\x04"
_OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of `torch.save` before torch 1.6: its magic number, pickled."""
CONVERTED = ".safetensors"
_BROKEN = (
    *(RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, EOFError, OverflowError),
    *(struct.error, zipfile.BadZipFile, MemoryError, RecursionError, OSError),
)
"""What torch raises for files that are cut or altered; it promises nothing about them."""

_SCRIPT = """\
import pathlib, pickle, torch
from safetensors.torch import save_file
for path in sorted(pathlib.Path({folder!r}).glob({pattern!r})):
    x = {load}
    table = x if isinstance(x, dict) else {{"x": torch.as_tensor(x)}}
    tensors = {{k: v.detach().cpu().contiguous() for k, v in table.items() if isinstance(v, torch.Tensor)}}
    save_file(tensors, path.with_suffix({converted!r}))
"""
_LOADS = {"pickle": "pickle.loads(path.read_bytes())", "torch": 'torch.load(path, map_location="cpu", weights_only=False)'}


class _Loaded(NamedTuple):
    value: Any
    size: int


def load_tensor(path: Path, *, key: str = "x") -> Tensor:
    """The one tensor of a file, or of a file that has been converted; mapped where it can be, so hardly anything is read.

    Where the file holds a table, its tensor `key`. Raises ForeignError for a file that is missing, cut, altered, or not safe to
    load, and for one that holds something else.
    """
    loaded = _load(path)
    value = loaded.value
    if isinstance(value, dict) and key in value:
        value = cast(dict[str, Any], value)[key]
    return _checked(value, path, loaded.size)


def load_table(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that holds a table of them; entries that are none are left out. Raises ForeignError."""
    loaded = _load(path)
    if not isinstance(loaded.value, dict):
        raise ForeignError(f"{path} holds {type(loaded.value).__name__}, not a table of tensors")
    table = cast(dict[Any, Any], loaded.value)
    return {str(name): _checked(value, path, loaded.size) for name, value in table.items() if isinstance(value, torch.Tensor)}


def load_plain(path: Path) -> dict[str, Any]:
    """All that a file holds which is a table: tensors, numbers, texts, and tables and lists of these. Raises ForeignError."""
    loaded = _load(path)
    if not isinstance(loaded.value, dict):
        raise ForeignError(f"{path} holds {type(loaded.value).__name__}, not a table")
    return {str(name): _plain(value, path, loaded.size) for name, value in cast(dict[Any, Any], loaded.value).items()}


def _plain(value: Any, path: Path, size: int) -> Any:
    """The value, its tensors checked; as lists come lists and tuples."""
    if isinstance(value, torch.Tensor):
        return _checked(value, path, size)
    if isinstance(value, dict):
        return {str(name): _plain(inner, path, size) for name, inner in cast(dict[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, path, size) for inner in cast(list[Any], value)]
    return value


def _load(path: Path) -> _Loaded:
    try:
        size = path.stat().st_size
        if not path.is_file() and not path.is_dir():  # a pipe or a device: reading it may never end
            raise ForeignError(f"{path} is no ordinary file")
        with path.open("rb") as file:
            start = file.read(len(_OLD))
    except OSError as error:
        raise ForeignError(f"cannot read {path}: {error.strerror}") from error
    if path.suffix == CONVERTED:
        return _Loaded(_read_safetensors(path), size)
    if not start.startswith((_ZIP, _OLD)):
        raise _refusal(path, start)
    try:
        with warnings.catch_warnings():
            # Said of any pickle protocol but 2, before what matters: whether the file can be read.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            return _Loaded(torch.load(path, map_location="cpu", weights_only=True, mmap=start.startswith(_ZIP)), size)
    except pickle.UnpicklingError as error:
        raise _unsafe(path, "torch", "it holds more than tensors") from error
    except _BROKEN as error:
        raise ForeignError(f"{path} cannot be read: it is cut or altered ({_first_line(error)})") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, mapped: one that is not looked at is not read."""
    try:
        places = read_header(LocalFolder(path.parent), path.name)
        # Copies on a write, which never comes: torch warns of memory that it may not write to.
        data = torch.from_numpy(np.memmap(path, dtype=np.uint8, mode="c"))
    except (ArtifactError, OSError, ValueError) as error:
        raise ForeignError(f"{path} is not a whole safetensors file: {_first_line(error)}") from error
    return {name: _mapped(data, place) for name, place in places.items()}


def _mapped(data: Tensor, place: TensorPlace) -> Tensor:
    raw = data[place.start : place.stop]
    if place.start % place.dtype.itemsize:
        raw = raw.clone()  # torch views only what begins at a multiple of its size
    return raw.view(place.dtype).reshape(place.shape)


def _checked(value: Any, path: Path, size: int) -> Tensor:
    """A plain tensor whose numbers all lie in the file: a saved view can claim more of them than there are bytes."""
    if not isinstance(value, torch.Tensor):
        held = f"a table of {', '.join(map(str, value))}" if isinstance(value, dict) else type(value).__name__
        raise ForeignError(f"{path} holds {held}, not a tensor")
    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
        raise ForeignError(f"{path} holds a tensor that is not a plain one: {value.layout}, {value.dtype}, {value.device}")
    if value.numel() * value.element_size() > size:
        raise ForeignError(f"{path} claims {tuple(value.shape)} numbers of {value.dtype} in {size:,} bytes")
    return value.detach()


def _refusal(path: Path, start: bytes) -> ForeignError:
    if not start:
        return ForeignError(f"{path} is empty")
    # Protocol 2 and later begin so; older ones with any letter, and are as unsafe.
    if start.startswith(b"\x80") or path.suffix in (".pkl", ".pickle"):
        return _unsafe(path, "pickle", "it is a plain pickle")
    return ForeignError(f"{path} is neither a file of torch.save nor of safetensors")


def _unsafe(path: Path, how: str, why: str) -> ForeignError:
    script = _SCRIPT.format(folder=str(path.parent), pattern=f"*{path.suffix}", load=_LOADS[how], converted=CONVERTED)
    return ForeignError(
        f"{path} is not loaded: {why}, which can run any program while it is read.\n"
        f"  If you made the files in {typed(path.parent)} yourself, convert them in an environment that may be lost, and import\n"
        f"  again (the {CONVERTED} files are read instead). Type:  python - <<'END'\n{script}END"
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]
