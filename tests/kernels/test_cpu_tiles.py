"""Dot products at entries in tiles: the bits of every other way, in any order of entries, at any size of tile."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monoseme.kernels import _cpu_tiles
from monoseme.kernels._contract import Encoder
from monoseme.kernels._cpu_tiles import dots_at, tiles_pay
from monoseme.kernels._cpu_topk import every_pre_activation
from monoseme.tensors.sparse import SparseCodes


def every_dot(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.cat(list(every_pre_activation(rows, Encoder(weight.t(), bias))))


@given(st.sampled_from([1, 7, 65]), st.sampled_from([0.0, 0.05, 0.4, 1.0]), st.sampled_from([1, 3 * 65, 2**17]), st.booleans())
def test_bits_are_those_of_every_pre_activation(width: int, density: float, tile: int, in_order: bool) -> None:
    rng = torch.Generator().manual_seed(width)
    rows, weight, bias = (
        torch.randn(13, width, generator=rng),
        torch.randn(29, width, generator=rng),
        torch.randn(29, generator=rng),
    )
    codes = SparseCodes.from_dense((torch.rand(13, 29, generator=rng) < density).float())
    latents = codes.indices
    if not in_order:
        latents = torch.cat([part.flip(0) for part in latents.split(codes.offsets.diff().tolist())])
    out = torch.full((codes.nnz,), torch.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_cpu_tiles, "_TILE_ELEMENTS", tile)
        dots_at(rows, weight, bias, offsets=codes.offsets, latents=latents, out=out)
    assert torch.equal(out, every_dot(rows, weight, bias)[codes.rows(), latents.long()])


def test_tiles_are_for_many_entries() -> None:
    rows = torch.empty(2048, 512)
    assert tiles_pay(2048 * 474, rows, 8192)
    assert not tiles_pay(2048 * 32, rows, 8192)
