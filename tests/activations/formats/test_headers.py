"""Headers of safetensors files against garbage: an error of ours or places that lie within the file, never anything else."""

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monoseme.core.errors import ArtifactDamagedError, ForeignError
from monoseme.core.folder import LocalFolder
from monoseme.tensors.foreign_file import load_table
from monoseme.tensors.tensor_file import read_header

_QUICK = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
_COUNT = st.one_of(st.integers(-3, 40), st.integers(1 << 60, 1 << 65), st.booleans(), st.floats(), st.none())
_ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "I64", "U8", "F8_E4M3", "", None]),
        "shape": st.one_of(st.lists(_COUNT, max_size=4), _COUNT),
        "data_offsets": st.one_of(st.lists(_COUNT, max_size=3), st.text(max_size=2)),
    }
)
_JSON = st.recursive(st.one_of(_COUNT, st.text(max_size=3)), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def _check(folder: Path, data: bytes) -> None:
    (folder / "x.safetensors").write_bytes(data)
    with contextlib.suppress(ArtifactDamagedError):
        for place in read_header(LocalFolder(folder), "x.safetensors").values():
            assert 8 <= place.start <= place.stop <= len(data)
            assert torch.Size(place.shape).numel() * place.dtype.itemsize == place.stop - place.start
    with contextlib.suppress(ForeignError):
        assert all(isinstance(tensor, torch.Tensor) for tensor in load_table(folder / "x.safetensors").values())


@_QUICK
@given(junk=st.binary(max_size=64))
def test_junk(tmp_path: Path, junk: bytes) -> None:
    _check(tmp_path, junk)


@_QUICK
@given(
    header=st.one_of(_JSON, st.dictionaries(st.text(max_size=3), st.one_of(_ENTRY, _JSON), max_size=3)), body=st.integers(0, 40)
)
def test_headers_of_any_json(tmp_path: Path, header: Any, body: int) -> None:
    text = json.dumps(header).encode()
    _check(tmp_path, struct.pack("<Q", len(text)) + text + bytes(body))


@_QUICK
@given(length=st.integers(0, (1 << 64) - 1), text=st.binary(max_size=30))
def test_headers_of_any_claimed_length(tmp_path: Path, length: int, text: bytes) -> None:
    _check(tmp_path, struct.pack("<Q", length) + text)


@pytest.mark.parametrize("header", ["[" * 100_000, '{"x": ' * 50_000, "NaN", '"\\ud800"', "9" * 5000])
def test_headers_that_are_hard_on_a_parser(tmp_path: Path, header: str) -> None:
    text = header.encode()
    _check(tmp_path, struct.pack("<Q", len(text)) + text)
