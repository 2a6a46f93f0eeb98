"""Rows in raw files with a JSON file beside each that says their shape and type. Letters: R rows, D width."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.core.errors import ForeignError
from monoseme.tensors.shapes import Tensor

_STORED: dict[str, tuple[torch.dtype, str]] = {
    "bfloat16": (torch.bfloat16, "<i2"),
    "float16": (torch.float16, "<f2"),
    "float32": (torch.float32, "<f4"),
    "float64": (torch.float64, "<f8"),
}
"""Name -> what it is, and as what numpy, which knows no bfloat16, maps it."""
_WITHOUT_DTYPE = "float32"
_MOST_JSON_BYTES = 1 << 20


def read_table(path: Path) -> dict[str, Any]:
    """The JSON object of a small file. Raises ForeignError for anything else."""
    try:
        if path.stat().st_size > _MOST_JSON_BYTES:
            raise ForeignError(f"{path} is too large for a table of settings")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ForeignError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ForeignError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise ForeignError(f"{path} holds no table of settings")
    return cast(dict[str, Any], found)


class MemmapRows:
    """The rows of the shards of a folder as one sequence. Nothing is read before rows are asked for."""

    def __init__(self, folder: Path, n_shards: int) -> None:
        """Reads the `.meta` files. Raises ForeignError where one is missing, or does not agree with its file or the others."""
        self._maps: list[NDArray[Any]] = []
        dtypes: set[torch.dtype] = set()
        for number in range(n_shards):
            mapped, dtype = _map(folder / f"shard_{number}.memmap")
            self._maps.append(mapped)
            dtypes.add(dtype)
        widths = {int(mapped.shape[1]) for mapped in self._maps}
        if len(dtypes) != 1 or len(widths) != 1:
            kinds = f"{len(dtypes)} types and {len(widths)} widths"
            raise ForeignError(f"the {n_shards} shards in {folder} do not fit together: they have {kinds}")
        self.folder, self.width, self.dtype = folder, widths.pop(), dtypes.pop()
        self.bounds: NDArray[np.int64] = np.cumsum([0, *(len(mapped) for mapped in self._maps)])
        """Shard s has the rows [bounds[s], bounds[s + 1])."""

    def __len__(self) -> int:
        """R."""
        return int(self.bounds[-1])

    @property
    def facts(self) -> list[list[int]]:
        """Rows and bytes of each shard."""
        return [[len(mapped), int(mapped.nbytes)] for mapped in self._maps]

    def rows(self, start: int, stop: int) -> Tensor:
        """The rows [start, stop), over the borders of shards, in memory of their own."""
        parts: list[Tensor] = []
        first = int(np.searchsorted(self.bounds, start, side="right")) - 1
        for shard in range(first, len(self._maps)):
            begin = int(self.bounds[shard])
            if begin >= stop:
                break
            part = np.array(self._maps[shard][max(start - begin, 0) : stop - begin])
            parts.append(torch.from_numpy(part).view(self.dtype))
        return torch.cat(parts)

    def where(self, row: int) -> str:
        """The file of a row, and the row in it."""
        shard = int(np.searchsorted(self.bounds, row, side="right")) - 1
        return f"{self.folder / f'shard_{shard}.memmap'}, row {row - int(self.bounds[shard]):,}"


def _map(path: Path) -> tuple[NDArray[Any], torch.dtype]:
    meta_path = path.with_suffix(".meta")
    meta = read_table(meta_path)
    name = str(meta.get("dtype", _WITHOUT_DTYPE)).removeprefix("torch.")
    shape = meta.get("shape")
    if name not in _STORED:
        raise ForeignError(f"{meta_path} names the type {name!r}.\n  Known: {', '.join(_STORED)}")
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and n > 0 for n in cast(list[Any], shape)):
        raise ForeignError(f"{meta_path} names the shape {shape!r}; [rows, width] is needed")
    n_rows, width = cast(list[int], shape)
    dtype, kind = _STORED[name]
    try:
        size = path.stat().st_size
        if size != n_rows * width * dtype.itemsize:
            raise ForeignError(f"{path} has {size:,} bytes; its .meta promises {n_rows:,} rows of {width:,} {name}")
        return np.memmap(path, dtype=np.dtype(kind), mode="r", shape=(n_rows, width)), dtype
    except OSError as error:
        raise ForeignError(f"cannot read {path}: {error.strerror}") from error
