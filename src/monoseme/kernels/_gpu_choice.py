"""The k largest of each row's candidates, by their float32 values, ties to the lowest latent.

A candidate's key is one 64-bit number, value before latent:  key = ordered(value) 2^32 + (2^31 - 1 - latent).  Keys differ, so
that a candidate's rank is the number of larger keys; those of rank below k are in, and their place is the number of chosen ones
with a lower latent. A program compares all candidates of one row with all, 32 at a time, in registers: M^2 comparisons, 128 per
thread at M = 128, less than the stages of a sort that hand numbers from thread to thread. Traffic: 8 bytes in per candidate, 8
out per entry.

Letters: B rows, M room for candidates of a row, K entries per row.
"""

# pyright: reportInvalidTypeForm=false, reportMissingParameterType=false
from typing import NamedTuple

import triton.language as tl

from monoseme.kernels._gpu_launch import kernel, launch
from monoseme.kernels._gpu_order import ordered
from monoseme.tensors.shapes import Float, Int, Tensor

SMALLEST_ROOM = 32
"""Candidates compared with all others at a time; M is a multiple."""
_LAST = tl.constexpr(2**31 - 1)
_NOTHING = tl.constexpr(-(2**63))
_EVERYTHING = tl.constexpr(2**63 - 1)


class Chosen(NamedTuple):
    """Entries of each row by ascending latent."""

    latents: Int[Tensor, "B K"]
    values: Float[Tensor, "B K"]


def choose(latents: Int[Tensor, "B M"], values: Float[Tensor, "B M"], k: int) -> Chosen:
    """M is a power of two, 32 at least; latents of -1 do not count, and at least k of each row must."""
    n_rows, room = latents.shape
    made = Chosen(latents.new_empty(n_rows, k), values.new_empty(n_rows, k))
    launch(_choose, n_rows, latents, values, *made, k, ROOM=room, STRIDE=SMALLEST_ROOM, num_warps=4)
    return made


@kernel
def _keys(latents, values, place):
    latent = tl.load(latents + place)
    value = tl.load(values + place)
    key = (ordered(value).to(tl.int64) << 32) | (-latent + _LAST).to(tl.int64)
    return latent, value, tl.where(latent >= 0, key, _NOTHING)


@kernel
def _choose(latents, values, chosen_latents, chosen_values, k, ROOM: tl.constexpr, STRIDE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    start = row * ROOM
    latent, value, key = _keys(latents, values, start + tl.arange(0, ROOM))
    rank = tl.full((ROOM,), 0, tl.int32)
    for other in range(0, ROOM, STRIDE):
        _, _, key_there = _keys(latents, values, start + other + tl.arange(0, STRIDE))
        rank += tl.sum((key_there[None, :] > key[:, None]).to(tl.int32), 1)
    chosen = (rank < k) & (latent >= 0)
    last = tl.min(tl.where(chosen, key, _EVERYTHING), 0)
    place = tl.full((ROOM,), 0, tl.int32)
    for other in range(0, ROOM, STRIDE):
        latent_there, _, key_there = _keys(latents, values, start + other + tl.arange(0, STRIDE))
        before = (key_there >= last)[None, :] & (latent_there[None, :] < latent[:, None])
        place += tl.sum(before.to(tl.int32), 1)
    tl.store(chosen_latents + row * k + place, latent, mask=chosen)
    tl.store(chosen_values + row * k + place, value, mask=chosen)
