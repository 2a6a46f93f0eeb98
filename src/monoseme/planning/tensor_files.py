"""Bytes of safetensors files from the names, types and shapes of their tensors: nothing is allocated."""

import json
import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

# In the order in which safetensors lays tensors out: by this order from its end, then by name.
_ORDER: dict[torch.dtype, str] = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.uint16: "U16",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.uint32: "U32",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
}
_RANK = {dtype: rank for rank, dtype in enumerate(_ORDER)}
_ALIGNMENT = 8


class Sized(NamedTuple):
    """What a tensor is before it is there."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def n_elements(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Of its numbers."""
        return self.n_elements * self.dtype.itemsize


def sizes_of(tensors: Mapping[str, Tensor]) -> dict[str, Sized]:
    """Types and shapes of tensors, real or fake."""
    return {name: Sized(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def n_bytes(tensors: Mapping[str, Sized]) -> int:
    """Of all numbers together."""
    return sum(sized.n_bytes for sized in tensors.values())


def file_bytes(tensors: Mapping[str, Sized]) -> int:
    """Bytes of the file that `safetensors.torch.save_file` writes of such tensors, without metadata.

    Eight bytes of length, the header as compact JSON, padded with blanks to a multiple of eight, and the tensors.
    """
    header: dict[str, object] = {}
    start = 0
    for name, sized in sorted(tensors.items(), key=lambda item: (-_RANK[item[1].dtype], item[0])):
        stop = start + sized.n_bytes
        header[name] = {"dtype": _ORDER[sized.dtype], "shape": list(sized.shape), "data_offsets": [start, stop]}
        start = stop
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + length + -length % _ALIGNMENT + start
