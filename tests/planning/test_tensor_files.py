"""Sizes of safetensors files without writing them."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from monoseme.planning.tensor_files import _ORDER, file_bytes, n_bytes, sizes_of

_TENSORS = st.dictionaries(
    st.text(min_size=1, max_size=9), st.tuples(st.sampled_from(list(_ORDER)), st.lists(st.integers(0, 7), max_size=3)), max_size=5
)


@settings(max_examples=30)
@given(_TENSORS)
def test_the_size_is_that_of_the_file(tensors: dict[str, tuple[torch.dtype, list[int]]]) -> None:
    made = {name: torch.zeros(shape, dtype=dtype) for name, (dtype, shape) in tensors.items()}
    assert file_bytes(sizes_of(made)) == len(save(made))


def test_offsets_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    made = {"a": torch.zeros(11, 13), "b": torch.zeros(7, dtype=torch.int64), "c": torch.zeros(5, dtype=torch.bool)}
    save_file(made, tmp_path / "x.safetensors")
    assert file_bytes(sizes_of(made)) == (tmp_path / "x.safetensors").stat().st_size


@pytest.mark.parametrize(("dtype", "size"), [(torch.bfloat16, 2), (torch.int64, 8)])
def test_bytes_of_numbers_alone(dtype: torch.dtype, size: int) -> None:
    assert n_bytes(sizes_of({"x": torch.zeros(5, 7, dtype=dtype)})) == 35 * size
