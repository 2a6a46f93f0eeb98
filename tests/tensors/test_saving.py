"""Tensors that are saved at once can be read by whom any new file can."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from monoseme.tensors.saving import save_tensors


@pytest.fixture(params=[0o022, 0o027, 0o077])
def mode(request: pytest.FixtureRequest) -> Iterator[int]:
    """What a new file's mode is while the process masks some bits of it."""
    before = os.umask(request.param)
    yield 0o666 & ~request.param
    os.umask(before)


def test_the_mode_is_that_of_any_new_file(tmp_path: Path, mode: int) -> None:
    save_tensors({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_tensors_of_any_layout_and_a_gradient_come_back(tmp_path: Path) -> None:
    held = {"turned": torch.arange(6.0).reshape(2, 3).T, "learned": torch.nn.Parameter(torch.ones(2))}
    save_tensors(held, tmp_path / "a.safetensors", metadata={"format": "pt"})
    found = load_file(tmp_path / "a.safetensors")
    assert all(torch.equal(found[name], value) for name, value in held.items())
