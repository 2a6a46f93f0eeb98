"""The largest pre-activations of each row: screened chunk by chunk, or from a matrix.

Letters: B rows, b rows of a chunk, D model width, F latents, K kept per row, m latents to choose among.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from monoseme.kernels._certificate import Latents, Rows, certified_latents, certified_rows
from monoseme.kernels._compiled import Array
from monoseme.kernels._contract import Encoder
from monoseme.kernels._cpu_select import all_scores, largest_of_rows, topk_rows
from monoseme.kernels._half import known_half_copy
from monoseme.kernels._measured import fastest
from monoseme.kernels._screen_product import SCREEN_PRODUCTS, ScreenProduct, in_use
from monoseme.kernels._screening import count
from monoseme.kernels._threads import launch, n_threads
from monoseme.kernels._workspace import workspace
from monoseme.kernels.reference import topk_by_sort
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

CHUNK_ROWS = 512
"""Scores of a chunk stay near the cache; the product loses 2 to 3 % to its pieces."""
_CHUNK_ELEMENTS = 2**22
"""Float32 pre-activations made at once where nothing is screened: 16 MB."""
_SPARE_ROOM = 64
"""A block's latents are written down before it is known whether they are candidates."""
_FEW_ROWS = 32
"""For fewer rows the bfloat16 copy of the weights costs more than all dot products, unless it is there already."""


class Largest(NamedTuple):
    """Entries by ascending latent."""

    latents: Int[Tensor, "B K"]
    """int32."""
    values: Float[Tensor, "B K"]


def screened(centred: Float[Tensor, "B D"], encoder: Encoder, k: int) -> SparseCodes:
    """The min(k, F) largest pre-activations of each row."""
    n_rows, n_latents = centred.shape[0], encoder.weight.shape[1]
    k = min(k, n_latents)
    product = in_use()
    if 2 * k > n_latents or not pays(n_rows, encoder, product):
        found = plain(centred, encoder, k)
    else:
        found = _by_screen(centred, encoder, k, product)
    return SparseCodes.from_topk(found.latents, found.values, n_latents)


def pays(n_rows: int, encoder: Encoder, product: ScreenProduct) -> bool:
    """Whether so few rows are worth the preparation of a screen."""
    ready = product.dtype != torch.bfloat16 or known_half_copy(encoder.weight) is not None
    return ready or n_rows >= _FEW_ROWS


def _by_screen(centred: Float[Tensor, "B D"], encoder: Encoder, k: int, product: ScreenProduct) -> Largest:
    n_rows, n_latents = centred.shape[0], encoder.weight.shape[1]
    latents = certified_latents(encoder.weight, encoder.bias.detach(), product)
    rows = certified_rows(centred, latents, product)
    found = Largest(torch.empty(n_rows, k, dtype=torch.int32), torch.empty(n_rows, k))
    scored = torch.empty(n_rows, dtype=torch.int32)
    room = min(n_latents, max(4 * k, n_latents // 8, 256)) + _SPARE_ROOM
    for start in range(0, n_rows, CHUNK_ROWS):
        chunk = slice(start, min(start + CHUNK_ROWS, n_rows))
        halves, wide = loop_views(scores(rows, latents, product, chunk))
        with launch():
            topk_rows(
                halves, wide, centred[chunk].numpy(), encoder.weight.detach().t().numpy(), encoder.bias.detach().numpy(),
                latents.raised.numpy(), latents.reach.numpy(), rows.slacks[chunk].numpy(), latents.wobble, latents.give, room,
                found.latents[chunk].numpy(), found.values[chunk].numpy(), scored[chunk].numpy(), n_threads(),
            )  # fmt: skip
    failed = (scored < 0).nonzero().squeeze(1)
    count(rows=n_rows, uncertified=failed.shape[0], candidates=int(scored.clamp_min(0).sum()))
    if failed.shape[0]:
        again = plain(centred[failed], encoder, k)
        found.latents[failed], found.values[failed] = again.latents, again.values
    return found


def scores(rows: Rows, latents: Latents, product: ScreenProduct, chunk: slice) -> Tensor:
    """The scores of some rows, in a buffer that holds them until the next call."""
    out = workspace("scores", chunk.stop - chunk.start, latents.reach.shape[0], dtype=product.dtype)
    product.product(rows.screened[chunk], latents.half, out)
    return out


def loop_views(out: Tensor) -> tuple[Array, Array]:
    """Scores as the loops take them: bfloat16 bits, or float32, and nothing in place of the other."""
    if out.dtype == torch.bfloat16:
        return out.view(torch.int16).numpy().view(np.uint16), np.empty((0, 0), np.float32)
    return np.empty((0, 0), np.uint16), out.numpy()


def plain(centred: Float[Tensor, "B D"], encoder: Encoder, k: int) -> Largest:
    """Every pre-activation by the same dot product as after a screen, then the k largest of each row."""
    parts = [topk_latents(pre, k) for pre in every_pre_activation(centred, encoder)]
    return Largest(torch.cat([part.latents for part in parts]), torch.cat([part.values for part in parts]))


def every_pre_activation(centred: Float[Tensor, "B D"], encoder: Encoder) -> Iterator[Float[Tensor, "b F"]]:
    """All dot products, for some rows at a time."""
    n_latents = encoder.weight.shape[1]
    weight, bias = encoder.weight.detach().t().numpy(), encoder.bias.detach().numpy()
    for rows in centred.split(max(1, _CHUNK_ELEMENTS // n_latents)):
        out = torch.empty(rows.shape[0], n_latents)
        with launch():
            all_scores(rows.numpy(), weight, bias, out.numpy(), n_threads())
        yield out


def among(centred: Float[Tensor, "B D"], encoder: Encoder, k: int, latents: Int[Tensor, " m"]) -> SparseCodes:
    """The min(k, m) largest among those latents, by a float32 product."""
    weight, bias = encoder.weight.detach().t().index_select(0, latents), encoder.bias.detach().index_select(0, latents)
    pre = _float32_product(centred, weight).add_(bias)
    best = topk_latents(pre, k)
    return SparseCodes.from_topk(latents[best.latents.long()], best.values, encoder.weight.shape[1])


def _float32_product(rows: Float[Tensor, "B D"], latents: Float[Tensor, "m D"]) -> Float[Tensor, "B m"]:
    """By the library that is faster here; into a buffer that holds the product until the next call."""
    product = SCREEN_PRODUCTS[fastest().float32]
    out = workspace("scores", rows.shape[0], latents.shape[0], dtype=torch.float32)
    product.product(rows, product.packed(latents), out)
    return out


def topk_latents(pre: Float[Tensor, "B F"], k: int) -> Largest:
    """The min(k, F) largest entries of each row of a contiguous float32 matrix; NaN counts as largest."""
    n_rows, k = pre.shape[0], min(k, pre.shape[1])
    found = Largest(torch.empty(n_rows, k, dtype=torch.int32), torch.empty(n_rows, k))
    if not found.latents.numel():
        return found
    finite = torch.empty(n_rows, dtype=torch.bool)
    with launch():
        largest_of_rows(pre.numpy(), found.latents.numpy(), found.values.numpy(), finite.numpy(), n_threads())
    odd = (~finite).nonzero().squeeze(1)
    if odd.shape[0]:
        latents = topk_by_sort(pre[odd], k)
        found.latents[odd], found.values[odd] = latents.int(), pre[odd].gather(1, latents)
    return found
