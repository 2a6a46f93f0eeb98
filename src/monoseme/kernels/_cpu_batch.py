"""The largest pre-activations of a whole batch, and all above a threshold: as many entries per row as there are.

Letters: B rows, b rows of a chunk, D model width, F latents, n entries in all.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from monoseme.kernels._certificate import Latents, Rows, certified_latents, certified_rows
from monoseme.kernels._compiled import Array
from monoseme.kernels._contract import Encoder
from monoseme.kernels._cpu_above import collect_latents, count_above, join_rows, keep_above
from monoseme.kernels._cpu_screen import bounds_at, count_reaching
from monoseme.kernels._cpu_select import score_again
from monoseme.kernels._cpu_tiles import dots_at
from monoseme.kernels._cpu_topk import CHUNK_ROWS, every_pre_activation, loop_views, pays, scores
from monoseme.kernels._screen_product import ScreenProduct, in_use
from monoseme.kernels._screening import count
from monoseme.kernels._selection import batch_topk_chosen
from monoseme.kernels._threads import launch, n_threads
from monoseme.kernels._workspace import workspace
from monoseme.kernels.reference import at_flat
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes, offsets_of

_GUESSES = ((64, 1.5), (512, 3.0))
"""Rows of a sample, and how many times its share of entries the guessed cut lets in: where rows have about k entries, give or
take as many, the share of 64 rows is off by an eighth."""
_BISECTIONS = 24
_DENSE = 0.35
"""Share of the matrix above a threshold from which on a plain product is as fast; the four products are dense from here on too.
Measured in A, two threads, ms of both cores, here and by a plain product: 122 and 217 at a share of 0.06, 185 and 189 at 0.14,
224 and 240 at 0.3, 348 and 336 at 0.5."""
_DENSITY_ROWS = 16
_DENSITY_STEP = 8
"""The share is measured on that many rows spread over the batch and every eighth latent: enough to tell a third from
a half."""


class _Entries(NamedTuple):
    """Candidates in CSR: those of row r are `offsets[r]:offsets[r + 1]`, by ascending latent."""

    offsets: Int[Tensor, " rows_and_one"]
    latents: Int[Tensor, " nnz"]
    uppers: Float[Tensor, " nnz"]
    lowers: Float[Tensor, " nnz"]
    """Bounds of the pre-activation."""


class _Found(NamedTuple):
    """Candidates in CSR, as `_Entries`, without bounds."""

    offsets: Int[Tensor, " rows_and_one"]
    latents: Int[Tensor, " nnz"]


class _Screen(NamedTuple):
    """One batch against one encoder."""

    centred: Float[Tensor, "B D"]
    encoder: Encoder
    latents: Latents
    rows: Rows
    product: ScreenProduct


def largest(centred: Float[Tensor, "B D"], encoder: Encoder, n: int) -> SparseCodes:
    """The min(n, B F) largest pre-activations; ties go to the lowest flat index."""
    n_rows, n_latents = centred.shape[0], encoder.weight.shape[1]
    screen = _screen(centred, encoder) if 0 < n <= n_rows * n_latents // 4 else None
    entries = None if screen is None else _reaching_the_cut(screen, n)
    if screen is None or entries is None:
        return _plain_largest(centred, encoder, n)
    values = _cut_values(screen, entries, n)
    keep = _n_largest(values, n)
    n_scored = int((values > -math.inf).sum())
    count(rows=n_rows, uncertified=0, candidates=n_scored)
    return _kept(entries, values, keep, n_latents)


def above(
    centred: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
) -> SparseCodes | None:
    """All pre-activations above the threshold; None where they are so many that a plain product is faster."""
    n_latents = encoder.weight.shape[1]
    if _is_dense(centred, encoder, threshold):
        return None
    magnitude = float(threshold[threshold.isfinite()].abs().max()) if bool(threshold.isfinite().any()) else 0.0
    screen = _screen(centred, encoder, magnitude)
    if screen is None:
        return _plain_above(centred, encoder, threshold)
    thresholds = threshold.expand(n_latents).contiguous()
    found = _candidates_above(screen._replace(latents=screen.latents._replace(raised=screen.latents.raised - thresholds)))
    values = torch.empty(found.latents.shape[0])
    dots_at(centred, encoder.weight.t(), encoder.bias, offsets=found.offsets, latents=found.latents, out=values)
    count(rows=centred.shape[0], uncertified=0, candidates=values.shape[0])
    return _cut_at(found, values, thresholds)


def _candidates_above(screen: _Screen) -> _Found:
    """All entries whose upper bound is not below zero."""
    n_rows = screen.centred.shape[0]
    parts: list[Tensor] = []
    counts = torch.empty(n_rows, dtype=torch.int64)
    for chunk in _chunks(n_rows):
        parts.append(_collected_latents(screen, _scored(screen, chunk), 0.0, counts[chunk]))
    return _Found(offsets_of(counts), torch.cat(parts))


class _Scored(NamedTuple):
    """The screen scores of a chunk of rows, and what their bounds are made of, as the loops take them."""

    views: tuple[Array, Array]
    bounds: tuple[Array, Array, Array, np.float32]


def _chunks(n_rows: int) -> list[slice]:
    return [slice(start, min(start + CHUNK_ROWS, n_rows)) for start in range(0, n_rows, CHUNK_ROWS)]


def _scored(screen: _Screen, chunk: slice) -> _Scored:
    """In a buffer that holds them until the next call."""
    latents, slacks = screen.latents, screen.rows.slacks[chunk].numpy()
    views = loop_views(scores(screen.rows, latents, screen.product, chunk))
    return _Scored(views, (latents.raised.numpy(), latents.reach.numpy(), slacks, latents.wobble))


def _collected_latents(screen: _Screen, scored: _Scored, floor: float, counts: Int[Tensor, " rows"]) -> Int[Tensor, " nnz"]:
    """Latents whose upper bound reaches the floor, row after row; how many there are is written into `counts`.

    One loop counts and writes: two would have to agree on what reaches the floor to the last bit, which compilers do not promise.
    """
    found = workspace("candidates", counts.shape[0], screen.latents.reach.shape[0] + 1, dtype=torch.int32).numpy()
    with launch():
        collect_latents(*scored.views, *scored.bounds, np.float32(floor), found, counts.numpy(), n_threads())
    offsets = offsets_of(counts)
    joined = torch.empty(int(offsets[-1]), dtype=torch.int32)
    with launch():
        join_rows(found, offsets.numpy(), joined.numpy())
    return joined


def _cut_at(found: _Found, values: Float[Tensor, " nnz"], thresholds: Float[Tensor, " F"]) -> SparseCodes:
    """The entries above the threshold of their latent, as codes."""
    n_rows = found.offsets.shape[0] - 1
    entries = (found.latents.numpy(), values.numpy(), found.offsets.numpy(), thresholds.numpy())
    counts = torch.empty(n_rows, dtype=torch.int64)
    with launch():
        count_above(*entries, counts.numpy())
    offsets = offsets_of(counts)
    n = int(offsets[-1])
    latents, kept = torch.empty(n, dtype=torch.int32), torch.empty(n)
    with launch():
        keep_above(*entries, offsets.numpy(), latents.numpy(), kept.numpy())
    return SparseCodes(latents, kept, offsets, thresholds.shape[0], (n_rows,))


def _screen(centred: Float[Tensor, "B D"], encoder: Encoder, magnitude: float = 0.0) -> _Screen | None:
    """None if some row cannot be screened, or the rows are too few."""
    product = in_use()
    if not pays(centred.shape[0], encoder, product):
        return None
    latents = certified_latents(encoder.weight, encoder.bias.detach(), product, magnitude)
    rows = certified_rows(centred, latents, product)
    if not bool(rows.slacks.isfinite().all()):
        count(rows=centred.shape[0], uncertified=centred.shape[0], candidates=0)
        return None
    return _Screen(centred, encoder, latents, rows, product)


def _reaching_the_cut(screen: _Screen, n: int) -> _Entries | None:
    """Entries among which are the n largest and all that tie with the last of them; None if no guess of the cut holds.

    A guess holds if at least n entries have a lower bound that reaches it. Where enough entries were found but their bounds are
    too low, these bounds give the next guess, which cannot fail.
    """
    for n_sample, surplus in _GUESSES:
        guess = _guess(screen, n, n_sample, surplus)
        entries = _collected(screen, guess)
        if entries.lowers.shape[0] >= n:
            cut = _nth_largest(entries.lowers, n)
            return entries if cut >= guess else _collected(screen, cut)
    return None


def _guess(screen: _Screen, n: int, n_sample: int, surplus: float) -> float:
    """A number that about `surplus` n lower bounds of the batch would reach, if it were like a sample of rows spread over it."""
    n_rows, n_latents = screen.centred.shape[0], screen.latents.reach.shape[0]
    chosen = torch.arange(min(n_sample, n_rows)) * n_rows // min(n_sample, n_rows)
    rows = Rows(screen.rows.screened[chosen], screen.rows.slacks[chosen])
    found = scores(rows, screen.latents, screen.product, slice(0, chosen.shape[0]))
    counts = torch.empty(chosen.shape[0], dtype=torch.int64)
    wanted = min(surplus * n * chosen.shape[0] / n_rows, 0.5 * chosen.shape[0] * n_latents)
    # Lower bounds are upper bounds with the margin taken off twice: the same loop with negative margins.
    bounds = (screen.latents.raised.numpy(), screen.latents.reach.numpy(), (-rows.slacks).numpy(), -screen.latents.wobble)
    high = float(found.abs().amax()) + float(screen.latents.raised.abs().amax())
    low = -high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        with launch():
            count_reaching(*loop_views(found), *bounds, np.float32(middle), counts.numpy(), n_threads())
        n_found = int(counts.sum())
        low, high = (middle, high) if n_found >= wanted else (low, middle)
        if wanted <= n_found <= 1.1 * wanted:
            break
    return low


def _collected(screen: _Screen, floor: float) -> _Entries:
    """All entries whose upper bound reaches the floor."""
    n_rows = screen.centred.shape[0]
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    counts = torch.empty(n_rows, dtype=torch.int64)
    for chunk in _chunks(n_rows):
        scored = _scored(screen, chunk)
        latents = _collected_latents(screen, scored, floor, counts[chunk])
        uppers, lowers = torch.empty(latents.shape[0]), torch.empty(latents.shape[0])
        places = (offsets_of(counts[chunk]).numpy(), latents.numpy(), uppers.numpy(), lowers.numpy())
        with launch():
            bounds_at(*scored.views, *scored.bounds, screen.latents.give, *places)
        parts.append((latents, uppers, lowers))
    return _Entries(offsets_of(counts), *(torch.cat(field) for field in zip(*parts, strict=True)))


def _nth_largest(values: Float[Tensor, " nnz"], n: int) -> float:
    """By numpy's partition: torch sorts."""
    place = values.shape[0] - n
    return float(np.partition(values.numpy(), place)[place])


def _cut_values(screen: _Screen, entries: _Entries, n: int) -> Float[Tensor, " nnz"]:
    """Pre-activations of the entries that may be among the n largest, minus infinity for the others.

    First the n whose lower bounds are the largest: the least of them is a floor that an upper bound must reach.
    """
    values = torch.full_like(entries.uppers, -math.inf)
    cut = _nth_largest(entries.lowers, n)
    first = entries._replace(uppers=entries.lowers)
    _score(screen, first, values, floor=cut, ceiling=math.inf)
    floor = float(values[values > -math.inf].min())
    _score(screen, entries, values, floor=floor, ceiling=cut)
    return values


def _score(screen: _Screen, entries: _Entries, values: Tensor, *, floor: float, ceiling: float) -> None:
    """Writes the pre-activations of entries whose upper bound reaches the floor and whose lower bound is below the ceiling."""
    weight, bias = screen.encoder.weight.detach().t().numpy(), screen.encoder.bias.detach().numpy()
    with launch():
        score_again(
            screen.centred.numpy(), weight, bias, entries.offsets.numpy(), entries.latents.numpy(), entries.uppers.numpy(),
            np.float32(floor), entries.lowers.numpy(), np.float32(ceiling), values.numpy(), n_threads(),
        )  # fmt: skip


def _n_largest(values: Float[Tensor, " nnz"], n: int) -> Tensor:
    """A mask of the n largest; of those that tie with the last, the first."""
    cut = _nth_largest(values, n)
    keep, ties = values > cut, values == cut
    n_ties = n - int(keep.sum())
    return keep | (ties & (ties.cumsum(0) <= n_ties))


def _kept(entries: _Entries, values: Float[Tensor, " nnz"], keep: Tensor, n_latents: int) -> SparseCodes:
    """The entries that a mask marks, as codes."""
    before = torch.zeros(keep.shape[0] + 1, dtype=torch.int64)
    torch.cumsum(keep, 0, out=before[1:])
    offsets = before[entries.offsets]
    return SparseCodes(entries.latents[keep], values[keep], offsets, n_latents, (offsets.shape[0] - 1,))


def _plain_largest(centred: Float[Tensor, "B D"], encoder: Encoder, n: int) -> SparseCodes:
    n_rows, n_latents = centred.shape[0], encoder.weight.shape[1]
    chosen = batch_topk_chosen(list(every_pre_activation(centred, encoder)), n)
    rows, latents = chosen.flat // n_latents, chosen.flat % n_latents
    return SparseCodes.from_rows(rows, latents, chosen.values, n_rows=n_rows, n_latents=n_latents)


def _plain_above(
    centred: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
) -> SparseCodes:
    return SparseCodes.cat(
        [at_flat(pre, (pre > threshold).reshape(-1).nonzero().squeeze(1)) for pre in every_pre_activation(centred, encoder)]
    )


def _is_dense(centred: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]) -> bool:
    """Measured in float32, so that the way taken, and with it the last bits, do not depend on the screen."""
    n_rows = centred.shape[0]
    chosen = torch.arange(min(_DENSITY_ROWS, n_rows)) * n_rows // min(_DENSITY_ROWS, n_rows)
    weight, bias = encoder.weight.detach()[:, ::_DENSITY_STEP], encoder.bias.detach()[::_DENSITY_STEP]
    limits = threshold if threshold.dim() == 0 else threshold[::_DENSITY_STEP]
    n_above = int((torch.addmm(bias, centred[chosen], weight) > limits).sum())
    return n_above > _DENSE * chosen.shape[0] * weight.shape[1]
