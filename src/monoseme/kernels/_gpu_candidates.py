"""From the keys of a screen to candidates: the latents of a row that may be among its k largest, and whether none was dropped.

Each kept latent's pre-activation lies in [u - 2 e, u] (letters of `monoseme.kernels._gpu_screen`). With t the k-th largest of the
lower ends, k latents reach t, so that none with u < t is among the k largest, and one that ties with the k-th is not lost either:

    candidates = {latents with u >= t}
    certified  = they fit into the room, and in every tile the last one kept has u < t, so that all dropped there have too

One program takes the keys of one row into registers, a few per thread. Traffic: keys are read once, candidates written once.

Letters: B rows, S keys per row, M room for candidates of a row.
"""

# pyright: reportInvalidTypeForm=false, reportMissingParameterType=false
from typing import NamedTuple

import torch
import triton
import triton.language as tl

from monoseme.kernels._gpu_launch import kernel, launch
from monoseme.kernels._gpu_order import LOWEST, ordered, unordered
from monoseme.kernels._gpu_screen import Screened, latent_terms, row_terms, unpack
from monoseme.kernels._gpu_threshold import kth_key
from monoseme.tensors.shapes import Bool, Float, Int, Tensor

MOST_KEYS = 2**15
"""Keys of a row that fit into the registers of one program: 64 for each thread of 16 warps."""
_KEYS_PER_WARP = 512
_BLOCK = 1024


class Candidates(NamedTuple):
    """Latents to score again, in no particular order."""

    latents: Int[Tensor, "B M"]
    """int32, -1 where there is none."""
    counts: Int[Tensor, " B"]
    """Candidates found, be there room for them or not."""
    certified: Bool[Tensor, " B"]


class Ends(NamedTuple):
    """The interval of each key's pre-activation."""

    latents: Int[Tensor, "B S"]
    """-1 where the tile had no more."""
    lower: Float[Tensor, "B S"]
    """Minus infinity where there is no latent or no number."""
    upper: Float[Tensor, "B S"]
    """The same, but infinity where there is no number."""


def row_candidates(screened: Screened, k: int, room: int) -> Candidates:
    """Candidates for the k largest of each row."""
    n_rows, n_keys = screened.keys.shape
    block = triton.next_power_of_2(n_keys)
    latents = torch.empty(n_rows, room, dtype=torch.int32, device=screened.keys.device)
    counts = torch.empty(n_rows, dtype=torch.int32, device=screened.keys.device)
    certified = torch.empty(n_rows, dtype=torch.bool, device=screened.keys.device)
    launch(
        _row_candidates, n_rows, *_arrays(screened), latents, counts, certified, n_keys, k, screened.slack,
        ROOM=room, KEPT=screened.kept, TILE=screened.tile, BLOCK=block, num_warps=min(16, max(4, block // _KEYS_PER_WARP)),
    )  # fmt: skip
    return Candidates(latents, counts, certified)


def ends(screened: Screened) -> Ends:
    """What each key says of its latent."""
    keys = screened.keys
    made = Ends(torch.empty_like(keys), torch.empty_like(keys, dtype=torch.float32), torch.empty_like(keys, dtype=torch.float32))
    n_keys = keys.shape[1]
    launch(
        _ends, (keys.shape[0], triton.cdiv(n_keys, _BLOCK)), *_arrays(screened), *made, n_keys, screened.slack,
        KEPT=screened.kept, TILE=screened.tile, BLOCK=_BLOCK,
    )  # fmt: skip
    return made


def _arrays(screened: Screened) -> tuple[Tensor, ...]:
    x, latents = screened.x, screened.latents
    return screened.keys, x.norms, x.lost, latents.norms, latents.lost, screened.size


@kernel
def _read(keys, x_norms, x_lost, w_norms, w_lost, size, slot, n_keys, slack, KEPT: tl.constexpr, TILE: tl.constexpr):
    """Latents, lower ends and upper ends (ordered integers) of some keys of this program's row; LOWEST for a key of nothing."""
    row = tl.program_id(0).to(tl.int64)
    key = tl.load(keys + row * n_keys + slot, mask=slot < n_keys, other=LOWEST)
    latent, below, above = unpack(key, slot, TILE, KEPT)
    real = key != LOWEST
    around, along = row_terms(tl.load(x_norms + row), tl.load(x_lost + row), slack)
    length, lost, rest = latent_terms(
        tl.load(w_norms + latent, mask=real, other=0.0), tl.load(w_lost + latent, mask=real, other=0.0),
        tl.load(size + latent, mask=real, other=0.0),
    )  # fmt: skip
    least = unordered(below) - 2.0 * (around * length + along * lost + rest)
    lower = tl.where(real & (least == least), ordered(least), LOWEST)
    return latent, lower, tl.where(real, above, LOWEST)


@kernel
def _row_candidates(keys, x_norms, x_lost, w_norms, w_lost, size, latents, counts, certified, n_keys, k, slack,
                    ROOM: tl.constexpr, KEPT: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    slot = tl.arange(0, BLOCK)
    latent, lower, upper = _read(keys, x_norms, x_lost, w_norms, w_lost, size, slot, n_keys, slack, KEPT, TILE)
    cut = kth_key(lower, slot < n_keys, k)
    chosen = (upper >= cut) & (upper != LOWEST)
    count = tl.sum(chosen.to(tl.int32), 0)
    n_full_tiles = tl.sum((chosen & (slot % KEPT == KEPT - 1)).to(tl.int32), 0)
    place = tl.cumsum(chosen.to(tl.int32), 0) - 1
    tl.store(latents + row * ROOM + place, latent, mask=chosen & (place < ROOM))
    rest = tl.arange(0, ROOM)
    tl.store(latents + row * ROOM + rest, tl.full((ROOM,), -1, tl.int32), mask=rest >= count)
    tl.store(counts + row, count)
    tl.store(certified + row, (count <= ROOM) & (n_full_tiles == 0))


@kernel
def _ends(keys, x_norms, x_lost, w_norms, w_lost, size, latents, lowers, uppers, n_keys, slack,
          KEPT: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    slot = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    latent, lower, upper = _read(keys, x_norms, x_lost, w_norms, w_lost, size, slot, n_keys, slack, KEPT, TILE)
    inside = slot < n_keys
    infinity = float("inf")
    most = unordered(upper)
    tl.store(latents + row * n_keys + slot, tl.where(upper == LOWEST, -1, latent), mask=inside)
    tl.store(lowers + row * n_keys + slot, tl.where(lower == LOWEST, -infinity, unordered(lower)), mask=inside)
    most = tl.where(upper == LOWEST, -infinity, tl.where(most == most, most, infinity))
    tl.store(uppers + row * n_keys + slot, most, mask=inside)
