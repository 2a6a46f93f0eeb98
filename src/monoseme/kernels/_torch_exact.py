"""Exact selection from a screen: candidates, their float32 pre-activations, the choice among these.

A row's candidates are all latents whose score could hide a chosen one, so the choice is that of the pre-activations themselves.
A row with more candidates than room is uncertified: what a float32 product finds best takes the place of its candidates. Every
value is one float32 dot product plus the bias, whichever way its latent was found.

Letters: B rows, D model width, F latents, K kept per row, n kept in all, c candidates.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from monoseme.kernels import _screening
from monoseme.kernels._contract import Encoder
from monoseme.kernels._selection import Chosen, cut_exactly, floor_of
from monoseme.kernels._torch_candidates import Candidates, block_maxima, by_row, n_blocks, reaching, row_floor
from monoseme.kernels._torch_products import TorchProducts
from monoseme.kernels._torch_screen import screen_of
from monoseme.kernels._workspace import workspace
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_ROOM = 4
"""Candidates that a row may have, as a multiple of K; on typical activations there are 2."""
_BATCH_ROOM = 4
"""The same for a whole batch, as a multiple of n."""
_CROWDED = 0.25
"""Share of the blocks above a threshold from which on the dense product is cheaper than candidates."""

_PRODUCTS = TorchProducts()

Plain = Callable[[Float[Tensor, "b D"], int], Int[Tensor, "b K"]]
"""The latents of the largest entries of a float32 product, for some rows: where no screen helps."""


class Best(NamedTuple):
    """The K largest entries of each row, latents ascending."""

    latents: Int[Tensor, "B K"]
    values: Float[Tensor, "B K"]


def topk_pays(n_latents: int, k: int) -> bool:
    """Whether blocks separate the k largest of so many latents from the rest."""
    return n_blocks(n_latents) >= 2 * k


def batch_topk_pays(n_rows: int, n_latents: int, n: int) -> bool:
    """Whether they separate the n largest of a whole batch."""
    return 0 < 2 * n <= n_rows * n_blocks(n_latents)


@torch.no_grad()
def screened_topk(
    centred: Float[Tensor, "B D"], encoder: Encoder, k: int, *, plain: Plain, among: Int[Tensor, " m"] | None = None
) -> Best:
    """The k largest pre-activations of each row, of the latents in `among` if given; `plain` settles uncertified rows."""
    weight, bias = encoder.weight.detach(), encoder.bias.detach()
    screen = screen_of(centred, encoder.weight, bias, among=among)
    parts: list[Candidates] = []
    for part, scores in screen.chunks():
        maxima = block_maxima(scores)
        floor = screen.at_least(row_floor(maxima, k), part).squeeze(1)
        rows, latents = reaching(scores, maxima, screen.limit(floor, part))
        parts.append(Candidates(rows + part.start, latents))
    found = Candidates(torch.cat([part.rows for part in parts]), torch.cat([part.latents for part in parts]))
    counts = torch.bincount(found.rows, minlength=centred.shape[0])
    # Fewer than k only where a number is not finite.
    crowded = (counts > _ROOM * k) | (counts < k)
    if among is not None:
        found = found._replace(latents=among[found.latents])
    _screening.count(rows=centred.shape[0], uncertified=int(crowded.sum()), candidates=int(counts[~crowded].sum()))
    if bool(crowded.any()):
        found = _with_plain(found, crowded, plain(centred[crowded], 2 * k))
    return _best(_rescored(found, centred, weight, bias), found, k, n_rows=centred.shape[0])


def _with_plain(found: Candidates, crowded: Bool[Tensor, " B"], latents: Int[Tensor, "b c"]) -> Candidates:
    """The candidates of the crowded rows replaced."""
    keep = ~crowded[found.rows]
    rows = crowded.nonzero().expand(-1, latents.shape[1])
    return by_row([Candidates(found.rows[keep], found.latents[keep]), Candidates(rows.reshape(-1), latents.reshape(-1))])


def _rescored(found: Candidates, centred: Tensor, weight: Float[Tensor, "D F"], bias: Float[Tensor, " F"]) -> Float[Tensor, " c"]:
    """The pre-activations of the candidates in float32."""
    codes = SparseCodes.from_rows(
        found.rows, found.latents, centred.new_zeros(found.rows.shape), n_rows=centred.shape[0], n_latents=weight.shape[1]
    )
    return _PRODUCTS.dots(codes, centred, weight.t()).add_(bias[found.latents])


def _best(values: Float[Tensor, " c"], found: Candidates, k: int, *, n_rows: int) -> Best:
    """The k largest of each row's candidates, of which it has at least k; ties go to the lowest latent."""
    counts = torch.bincount(found.rows, minlength=n_rows)
    starts = counts.cumsum(0) - counts
    table = values.new_full((n_rows, max(k + 1, int(counts.max()))), -torch.inf)
    table[found.rows, torch.arange(values.shape[0]) - starts[found.rows]] = values
    top = table.topk(k + 1, dim=1)
    places = top.indices[:, :k]
    # Unique if the last one in beats the first one out; written so that NaN counts as a tie.
    tied = (~(top.values[:, k - 1] > top.values[:, k])).nonzero().squeeze(1)
    if tied.numel():
        entries = (starts[tied].unsqueeze(1) + torch.arange(table.shape[1])).clamp_max(values.shape[0] - 1)
        places = places.index_copy(0, tied, _settled(table[tied], found.latents[entries], k))
    entries = starts.unsqueeze(1) + places
    latents, order = found.latents[entries].sort(dim=1)
    return Best(latents, values[entries.gather(1, order)])


def _settled(values: Float[Tensor, "b c"], latents: Int[Tensor, "b c"], k: int) -> Int[Tensor, "b K"]:
    """Places of the k largest, ties to the lowest latent, by two stable sorts."""
    by_latent = latents.sort(dim=1, stable=True).indices
    by_value = values.gather(1, by_latent).sort(dim=1, descending=True, stable=True).indices[:, :k]
    return by_latent.gather(1, by_value)


@torch.no_grad()
def screened_batch_topk(centred: Float[Tensor, "B D"], encoder: Encoder, n: int) -> Chosen | None:
    """The n largest pre-activations of the whole batch; None where candidates are too many, or a number is not finite."""
    weight, bias = encoder.weight.detach(), encoder.bias.detach()
    screen = screen_of(centred, encoder.weight, bias)
    n_rows, n_latents = centred.shape[0], weight.shape[1]
    scores = workspace("batch screen", n_rows, n_latents, dtype=torch.bfloat16)
    parts = [(part, block_maxima(screen.score(part, scores[part]))) for part in screen.parts()]
    floor = floor_of(torch.cat([screen.at_least(maxima, part) for part, maxima in parts]), n)
    found: list[Candidates] = []
    if floor is not None:
        for part, maxima in parts:
            rows, latents = reaching(scores[part], maxima, screen.limit(floor, part))
            found.append(Candidates(rows + part.start, latents))
    n_found = sum(part.rows.shape[0] for part in found)
    failed = floor is None or n_found > _BATCH_ROOM * n
    _screening.count(rows=n_rows, uncertified=n_rows if failed else 0, candidates=0 if failed else n_found)
    if failed:
        return None
    both = Candidates(torch.cat([part.rows for part in found]), torch.cat([part.latents for part in found]))
    flat, order = (both.rows * n_latents + both.latents).sort()
    return cut_exactly(Chosen(flat, _rescored(both, centred, weight, bias)[order]), n)


@torch.no_grad()
def screened_above(
    centred: Float[Tensor, "B D"], encoder: Encoder, threshold: Float[Tensor, ""] | Float[Tensor, " F"]
) -> Chosen | None:
    """Every pre-activation above the threshold; None where they are many, or a number is not finite."""
    weight, bias = encoder.weight.detach(), encoder.bias.detach()
    # Scores of the distance to the threshold, which are small where it matters.
    screen = screen_of(centred, encoder.weight, bias - threshold)
    n_latents = weight.shape[1]
    found: list[Candidates] = []
    if not bool(screen.error.isfinite().all()):
        return None
    for part, scores in screen.chunks():
        maxima = block_maxima(scores)
        limit = screen.limit(torch.zeros(()), part)
        if float((maxima >= limit.unsqueeze(1)).float().mean()) > _CROWDED:
            return None
        rows, latents = reaching(scores, maxima, limit)
        found.append(Candidates(rows + part.start, latents))
    both = Candidates(torch.cat([part.rows for part in found]), torch.cat([part.latents for part in found]))
    _screening.count(rows=centred.shape[0], uncertified=0, candidates=both.rows.shape[0])
    values = _rescored(both, centred, weight, bias)
    keep = values > (threshold if threshold.ndim == 0 else threshold[both.latents])
    flat, order = (both.rows * n_latents + both.latents)[keep].sort()
    return Chosen(flat, values[keep][order])
