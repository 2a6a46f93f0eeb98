"""Shard files are safetensors, written front to back, and headers that lie are found out."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.folder import LocalFolder
from monoseme.tensors.tensor_file import (
    TensorSpec,
    create_file,
    read_header,
    read_tensors,
    write_tensors,
)

TENSORS = {
    "x": torch.arange(5 * 7, dtype=torch.int8).reshape(5, 7),
    "norm": torch.linspace(0, 1, 5),
    "tokens": torch.arange(11, dtype=torch.int64).to(torch.uint32),
    "documents": torch.tensor([[-1, 3]]),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "empty": torch.zeros(0, 7, dtype=torch.float64),
    "one": torch.tensor(2.5, dtype=torch.float64),
}


def test_a_file_opens_in_safetensors_and_in_ours(tmp_path: Path) -> None:
    facts = write_tensors(LocalFolder(tmp_path), "a.safetensors", TENSORS)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:  # type: ignore[no-untyped-call]
        assert set(file.keys()) == set(TENSORS)
        for name, wanted in TENSORS.items():
            found = file.get_tensor(name)
            assert found.dtype is wanted.dtype
            assert torch.equal(found.long(), wanted.long())
    data = (tmp_path / "a.safetensors").read_bytes()
    assert facts == (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
    ours = read_tensors(LocalFolder(tmp_path), "a.safetensors")
    assert {name: (t.dtype, t.shape) for name, t in ours.items()} == {n: (t.dtype, t.shape) for n, t in TENSORS.items()}
    assert all(torch.equal(ours[name].long(), wanted.long()) for name, wanted in TENSORS.items())


def test_ours_reads_what_safetensors_wrote(tmp_path: Path) -> None:
    save_file({"x": TENSORS["x"], "norm": TENSORS["norm"]}, tmp_path / "b.safetensors", metadata={"format": "pt"})
    found = read_tensors(LocalFolder(tmp_path), "b.safetensors")
    assert set(found) == {"x", "norm"}
    assert torch.equal(found["norm"], TENSORS["norm"])


def test_pieces_of_any_size_make_the_same_file(tmp_path: Path) -> None:
    folder, x = LocalFolder(tmp_path), torch.randn(11, 7)
    whole = write_tensors(folder, "whole.safetensors", {"x": x})
    with create_file(folder, "pieces.safetensors", {"x": TensorSpec(torch.float32, (11, 7))}) as file:
        for piece in x.split(3):
            file.write(piece)
        assert file.finish() == whole
    assert (tmp_path / "pieces.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_the_body_begins_at_a_multiple_of_64_bytes(tmp_path: Path) -> None:
    for name in ("x", "a rather longer name"):
        write_tensors(LocalFolder(tmp_path), "a.safetensors", {name: TENSORS["x"]})
        assert read_header(LocalFolder(tmp_path), "a.safetensors")[name].start % 64 == 0


def test_too_few_values_are_our_own_fault_and_leave_no_file(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    with pytest.raises(RuntimeError, match="promises"), create_file(folder, "a", {"x": TensorSpec(torch.int8, (3,))}) as file:
        file.write(torch.zeros(2, dtype=torch.int8))
        file.finish()
    assert folder.names() == []


def _written(folder: Path, header: Any, body: bytes = bytes(16), *, length: int | None = None) -> LocalFolder:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "a").write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + body)
    return LocalFolder(folder)


def _entry(dtype: Any = "F32", shape: Any = (2, 2), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def test_a_sound_header_is_read(tmp_path: Path) -> None:
    place = read_header(_written(tmp_path, _entry()), "a")["x"]
    assert (place.dtype, place.shape, place.stop - place.start) == (torch.float32, (2, 2), 16)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[" * 100_000,
        b"\xff\xfe",
        [],
        {"x": 3},
        {"x": {}},
        _entry(dtype="F31"),
        _entry(dtype=["F32"]),
        _entry(shape=[2, -2]),
        _entry(shape=[2.0, 2]),
        _entry(shape=[True, 4]),
        _entry(shape=4),
        _entry(shape=[2, 3]),
        _entry(shape=[10**30, 10**30]),
        _entry(offsets=[0, 8]),
        _entry(offsets=[4, 20]),
        _entry(offsets=[-4, 12]),
        _entry(offsets=[16, 0]),
        _entry(offsets=[0]),
        _entry(offsets=None),
    ],
)
def test_a_header_that_lies_is_one_clear_error(tmp_path: Path, header: Any) -> None:
    with pytest.raises(ArtifactDamagedError):
        read_header(_written(tmp_path, header), "a")


@pytest.mark.parametrize("length", [1 << 62, 1 << 40, 1000])
def test_a_header_longer_than_its_file_is_not_read(tmp_path: Path, length: int) -> None:
    with pytest.raises(ArtifactDamagedError, match="claims a header"):
        read_header(_written(tmp_path, _entry(), length=length), "a")


def test_a_missing_and_an_empty_file_say_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactDamagedError, match="missing"):
        read_header(LocalFolder(tmp_path), "a")
    (tmp_path / "a").write_bytes(b"123")
    with pytest.raises(ArtifactDamagedError, match="too few"):
        read_header(LocalFolder(tmp_path), "a")
